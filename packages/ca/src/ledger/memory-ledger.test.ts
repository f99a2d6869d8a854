import { ledgerSuite } from './ledger.suite.ts';
import { memoryLedger } from './memory-ledger.ts';

ledgerSuite('memory ledger', { open: async (clock) => memoryLedger({ clock }) });
