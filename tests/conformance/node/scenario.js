// Reads what a scenario is given, runs it, writes what it returns.
'use strict';

const COS = require('cos-nodejs-sdk-v5');

/** Run a scenario: JSON from standard input, JSON to standard output. */
function main(scenario) {
  const chunks = [];
  process.stdin.on('data', (chunk) => chunks.push(chunk));
  process.stdin.on('end', async () => {
    const known = JSON.parse(Buffer.concat(chunks).toString());
    const result = await scenario(known, new COS(known.options));
    process.stdout.write(JSON.stringify(result), () => process.exit(0));
  });
}

/** The calls of the job half, made with the SDK's general request as in the vendor's own samples. */
class Media {
  constructor(cos, { bucket, region, jobsOrigin }) {
    this.cos = cos;
    this.bucket = bucket;
    this.region = region;
    this.origin = jobsOrigin || `http://${bucket}.ci.${region}.myqcloud.com`;
  }

  call(Method, Key, { Query, Body, Action, origin } = {}) {
    return this.cos.request({
      Bucket: this.bucket,
      Region: this.region,
      Method,
      Key,
      Url: `${origin || this.origin}/${Key}`,
      Query: Query || {},
      Action,
      ...(Body ? { Body: COS.util.json2xml({ Request: Body }), Headers: { 'Content-Type': 'application/xml' } } : {}),
    });
  }
}

/** What became of a call: its data, or how it was refused. */
async function outcome(promise) {
  try {
    return { data: await promise };
  } catch (error) {
    const { Code, Message, Resource, RequestId, TraceId } = error.error || {};
    return { status: error.statusCode, code: error.code, document: { Code, Message, Resource, RequestId, TraceId } };
  }
}

/** A node that may be missing, single or repeated, as a list. */
function list(node) {
  return node === undefined || node === '' ? [] : [].concat(node);
}

module.exports = { COS, Media, list, main, outcome };
