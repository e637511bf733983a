// Every call once, each with one request; returns the names of the calls in order.
'use strict';

const { Media, main } = require('./scenario');

main(async (known, cos) => {
  const { bucket, region, ids, key, content } = known;
  const media = new Media(cos, known);
  const object = { Bucket: bucket, Region: region, Key: key };
  const place = { Bucket: bucket, Region: region };
  const calls = {
    'submit': () => media.call('POST', 'jobs', { Body: known.submission }),
    'query': () => media.call('GET', `jobs/${ids.job},${ids.other}`),
    'list-jobs': () =>
      media.call('GET', 'jobs', {
        Query: {
          tag: 'VideoSynthesis',
          orderByTime: 'Desc',
          states: 'All',
          size: 100,
          startCreationTime: '2026-05-01T00:00:00+0800',
        },
      }),
    'cancel': () => media.call('PUT', `jobs/${ids.job}`, { Action: 'cancel' }),
    'queues': () => media.call('GET', 'queue', { Query: { pageNumber: 1, pageSize: 10 } }),
    'update-queue': () => media.call('PUT', `queue/${ids.queue}`, { Body: known.queueRequest }),
    'templates': () =>
      media.call('GET', 'template', { Query: { tag: 'Transcode', category: 'Custom', pageNumber: 1, pageSize: 10 } }),
    'create-template': () => media.call('POST', 'template', { Body: known.template }),
    'update-template': () => media.call('PUT', `template/${ids.template}`, { Body: known.template }),
    'delete-template': () => media.call('DELETE', `template/${ids.template}`),
    'media-buckets': () =>
      media.call('GET', 'mediabucket', {
        Query: { bucketNames: bucket, pageNumber: 1, pageSize: 10 },
        origin: `http://ci.${region}.myqcloud.com`,
      }),
    'head-bucket': () => cos.headBucket(place),
    'put': () => cos.putObject({ ...object, Body: content }),
    'put-with-headers': () =>
      cos.putObject({
        ...object,
        Body: content,
        ContentType: 'video/mp4',
        Headers: { 'x-cos-forbid-overwrite': 'true', 'x-cos-meta-owner': 'team a/b' },
      }),
    'get-range': () => cos.getObject({ ...object, Range: 'bytes=2-4', ResponseContentType: 'video/mp4' }),
    'head': () => cos.headObject(object),
    'delete': () => cos.deleteObject(object),
    'list-objects': () => cos.getBucket({ ...place, Prefix: 'in/', MaxKeys: 1000, EncodingType: 'url' }),
    'delete-objects': () => cos.deleteMultipleObject({ ...place, Objects: [{ Key: key }], Quiet: true }),
    'copy': () =>
      cos.putObjectCopy({
        ...place,
        Key: 'out/copy.mp4',
        CopySource: `${bucket}.cos.${region}.myqcloud.com/${encodeURIComponent(key).replace(/%2F/g, '/')}`,
      }),
    'initiate-upload': () => cos.multipartInit({ ...object, ContentType: 'video/mp4' }),
    'upload-part': () =>
      cos.multipartUpload({ ...object, UploadId: ids.upload, PartNumber: 1, Body: content }),
    'list-uploads': () => cos.multipartList({ ...place, Prefix: key, EncodingType: 'url' }),
    'list-parts': () => cos.multipartListPart({ ...object, UploadId: ids.upload }),
    'complete-upload': () => cos.multipartComplete({ ...object, UploadId: ids.upload, Parts: known.parts }),
    'abort-upload': () => cos.multipartAbort({ ...object, UploadId: ids.upload }),
  };
  for (const [name, call] of Object.entries(calls)) {
    try {
      await call();
    } catch (error) {
      throw new Error(`${name}: ${error.message} ${error.stack}`);
    }
  }
  return Object.keys(calls);
});
