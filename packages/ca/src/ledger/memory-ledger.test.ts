import { auditTrailSuite } from './audit-trail.suite.ts';
import { edgeSuite } from './edge/edge.suite.ts';
import { leaseSuite } from './lease.suite.ts';
import { type LedgerUnderTest, ledgerSuite } from './ledger.suite.ts';
import { memoryLedger } from './memory-ledger.ts';
import { orderSuite } from './order.suite.ts';
import { archiveSuite } from './retention/archive.suite.ts';
import { revocationKindsSuite } from './revocation-kinds.suite.ts';
import { rotationSuite } from './rotation.suite.ts';

const subject: LedgerUnderTest = { open: async (clock) => memoryLedger({ clock }) };
ledgerSuite('memory ledger', subject);
leaseSuite('memory ledger', subject);
auditTrailSuite('memory ledger', subject);
revocationKindsSuite('memory ledger', subject);
orderSuite('memory ledger', subject);
rotationSuite('memory ledger', subject);
edgeSuite('memory ledger', subject);
archiveSuite('memory ledger', subject);
