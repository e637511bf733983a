// A project from its first upload to its last deletion; returns what was seen on the way.
'use strict';

const crypto = require('crypto');
const fs = require('fs');
const { Media, list, main, outcome } = require('./scenario');

const CHUNK = 1024 * 1024;
const UNKNOWN = `j${'0'.repeat(32)}`;

main(async (known, cos) => {
  const { bucket, region, prefix, files, pause } = known;
  const media = new Media(cos, known);
  const place = { Bucket: bucket, Region: region };
  const at = (name) => ({ ...place, Key: `${prefix}${name}` });
  const job = async (id) => (await media.call('GET', `jobs/${id}`)).Response.JobsDetail;
  const until = async (id, states) => {
    for (;;) {
      const found = await job(id);
      if (states.includes(found.State)) return found;
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  };
  const submit = async (operation, rest) => {
    const Body = { Tag: 'VideoSynthesis', Operation: operation, ...rest };
    return list((await media.call('POST', 'jobs', { Body })).Response.JobsDetail);
  };
  const seen = {};

  // Sources, in every way in which the SDK uploads.
  seen.put = await cos.putObject({
    ...at('red.mp4'),
    Body: fs.createReadStream(files.red),
    ContentLength: fs.statSync(files.red).size,
    Headers: { 'x-cos-meta-owner': 'team a/b' },
  });
  seen.source = (await cos.headObject(at('red.mp4'))).headers;
  seen.file = await cos.uploadFile({ ...at('blue.mp4'), FilePath: files.blue, SliceSize: CHUNK });
  const large = fs.readFileSync(files.large);
  const begun = await cos.multipartInit(at('large.bin'));
  await cos.multipartUpload({
    ...at('large.bin'),
    UploadId: begun.UploadId,
    PartNumber: 2,
    Body: large.slice(CHUNK, 2 * CHUNK),
  });
  seen.begun = begun.UploadId;
  seen.resumed = await cos.sliceUploadFile({ ...at('large.bin'), FilePath: files.large, ChunkSize: CHUNK });
  seen.unfinished = (await cos.multipartList({ ...place, Prefix: `${prefix}large.bin` })).Upload;
  const back = await cos.getObject(at('large.bin'));
  seen.large = { md5: crypto.createHash('md5').update(back.Body).digest('hex'), length: back.Body.length };

  // Templates.
  const template = { ...known.template, Name: `${known.name}-canvas` };
  const made = (await media.call('POST', 'template', { Body: template })).Response.Template;
  const wide = { ...template, Video: { ...template.Video, Width: '384' } };
  seen.template = made;
  seen.widened = (await media.call('PUT', `template/${made.TemplateId}`, { Body: wide })).Response.Template;
  const mark = (await media.call('POST', 'template', { Body: { ...known.watermark, Name: `${known.name}-mark` } }))
    .Response.Template;
  const asked = { tag: 'Transcode', category: 'Custom', name: known.name, pageNumber: 1, pageSize: 10 };
  const listed = (await media.call('GET', 'template', { Query: asked })).Response;
  seen.templates = list(listed.TemplateList).map((found) => found.TemplateId);

  // Jobs: one with everything inline, one by templates, two at once.
  const operation = (name) => ({
    ...known.operation,
    Output: { ...known.operation.Output, Object: `${prefix}${name}` },
  });
  const [inline] = await submit(operation('inline.mp4'), known.callback);
  seen.accepted = inline;
  const [templated] = await submit({
    ...without(operation('templated.mp4'), 'Transcode'),
    TranscodeTemplateId: made.TemplateId,
  });
  const pair = await submit([operation('one.mp4'), operation('two.mp4')]);
  seen.pair = pair.map((found) => found.JobId);
  seen.ended = await until(inline.JobId, ['Success', 'Failed']);
  seen.templated = await until(templated.JobId, ['Success', 'Failed']);
  for (const found of pair) await until(found.JobId, ['Success', 'Failed']);

  // Found again, in pages, with ids that do not exist.
  const several = (await media.call('GET', `jobs/${seen.pair.join(',')},${UNKNOWN}`)).Response;
  seen.several = list(several.JobsDetail).map((found) => found.JobId);
  seen.missing = several.NonExistJobIds;
  seen.listed = [];
  for (let nextToken = ''; ; ) {
    const Query = { tag: 'VideoSynthesis', size: 3, states: 'Success', startCreationTime: inline.CreationTime, nextToken };
    const page = (await media.call('GET', 'jobs', { Query })).Response;
    seen.listed.push(...list(page.JobsDetail).map((found) => found.JobId));
    nextToken = page.NextToken;
    if (!nextToken) break;
  }

  // Another one is cancelled while the queue stands still.
  const queue = list((await media.call('GET', 'queue')).Response.QueueList)[0];
  const change = (State) =>
    media.call('PUT', `queue/${queue.QueueId}`, {
      Body: { Name: queue.Name, QueueID: queue.QueueId, State, NotifyConfig: { State: 'Off' } },
    });
  seen.paused = (await change('Paused')).Response.Queue.State;
  const [other] = await submit(operation('never.mp4'));
  seen.waiting = (await until(other.JobId, ['Pause'])).State;
  seen.cancelled = (await media.call('PUT', `jobs/${other.JobId}`, { Action: 'cancel' })).statusCode;
  seen.resumedQueue = (await change('Active')).Response.Queue.State;
  seen.other = (await job(other.JobId)).State;
  seen.twice = await outcome(media.call('PUT', `jobs/${other.JobId}`, { Action: 'cancel' }));
  seen.refused = await outcome(media.call('POST', 'jobs', { Body: { Tag: 'VideoSynthesis' } }));

  // The result: headed, in part, by an address that holds by itself, copied.
  seen.head = (await cos.headObject(at('inline.mp4'))).headers;
  const part = await cos.getObject({ ...at('inline.mp4'), Range: 'bytes=4-7' });
  seen.part = { body: part.Body.toString('latin1'), status: part.statusCode, range: part.headers['content-range'] };
  seen.url = await new Promise((resolve, reject) =>
    cos.getObjectUrl({ ...at('inline.mp4'), Sign: true, Expires: 600 }, (error, data) =>
      error ? reject(error) : resolve(data.Url)
    )
  );
  seen.copy = await cos.putObjectCopy({
    ...at('copy.mp4'),
    CopySource: `${bucket}.cos.${region}.myqcloud.com/${prefix}inline.mp4`,
  });
  seen.unchanged = await outcome(cos.getObject({ ...at('copy.mp4'), IfNoneMatch: seen.copy.ETag }));
  seen.forbidden = await outcome(
    cos.putObject({ ...at('copy.mp4'), Body: 'x', Headers: { 'x-cos-forbid-overwrite': 'true' } })
  );

  // What there is, in pages and by folders.
  seen.keys = [];
  for (let Marker = ''; ; ) {
    const page = await cos.getBucket({ ...place, Prefix: prefix, Marker, MaxKeys: 3 });
    seen.keys.push(...page.Contents.map((found) => found.Key.slice(prefix.length)));
    if (page.IsTruncated !== 'true') break;
    Marker = page.NextMarker;
  }
  const folders = await cos.getBucket({ ...place, Prefix: prefix.slice(0, -1), Delimiter: '/' });
  seen.folders = folders.CommonPrefixes.map((found) => found.Prefix);

  // Cleaned up.
  for (const { TemplateId } of [made, mark]) await media.call('DELETE', `template/${TemplateId}`);
  const Objects = seen.keys.map((key) => ({ Key: `${prefix}${key}` }));
  seen.deleted = (await cos.deleteMultipleObject({ ...place, Objects })).Deleted.length;
  seen.left = (await cos.getBucket({ ...place, Prefix: prefix })).Contents.length;
  seen.gone = await outcome(cos.getObject(at('inline.mp4')));
  return seen;

  function without(node, name) {
    const { [name]: _, ...rest } = node;
    return rest;
  }
});
