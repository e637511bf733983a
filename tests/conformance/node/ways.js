// One call of each kind with the options that were given; returns what became of each.
'use strict';

const { Media, main, outcome } = require('./scenario');

main(async (known, cos) => {
  const { bucket, region, key } = known;
  const media = new Media(cos, known);
  const object = { Bucket: bucket, Region: region, Key: key };
  const url = (params) =>
    new Promise((resolve, reject) =>
      cos.getObjectUrl({ ...object, ...params }, (error, data) => (error ? reject(error) : resolve(data.Url)))
    );
  const seen = {};
  seen.put = await outcome(cos.putObject({ ...object, Body: 'content' }));
  seen.get = await outcome(cos.getObject(object).then((data) => data.Body.toString()));
  seen.list = await outcome(
    cos.getBucket({ Bucket: bucket, Region: region, Prefix: key }).then((data) => data.Contents.map((each) => each.Key))
  );
  seen.buckets = await outcome(cos.getService().then((data) => data.Buckets.map((each) => each.Name)));
  seen.queue = await outcome(media.call('GET', 'queue').then((data) => data.Response.TotalCount));
  seen.jobs = await outcome(
    media
      .call('GET', 'jobs', { Query: { tag: 'VideoSynthesis', startCreationTime: '2100-01-01T00:00:00+0800' } })
      .then((data) => data.Response.NextToken)
  );
  seen.submit = await outcome(
    media.call('POST', 'jobs', { Body: known.submission }).then((data) => data.Response.JobsDetail.Code)
  );
  seen.cancel = await outcome(media.call('PUT', `jobs/j${'0'.repeat(32)}`, { Action: 'cancel' }));
  seen.template = await outcome(media.call('GET', 'template', { Query: { ids: `t1${'0'.repeat(32)}` } }));
  seen.url = await url({ Sign: true, Query: known.parameters, Expires: 600 });
  return seen;
});
