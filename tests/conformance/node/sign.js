// Signs requests with the SDK's own signer: a line of JSON in, a line of JSON out, until there is no more.
'use strict';

const readline = require('readline');
const { COS } = require('./scenario');

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  process.stdout.write(`${JSON.stringify(COS.getAuthorization(JSON.parse(line)))}\n`);
});
