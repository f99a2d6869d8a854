#!/usr/bin/env node
import { startProgram } from './start-program.js';

await startProgram('pebble.js', 'pebble/main.ts');
