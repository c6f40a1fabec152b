// Jobs, with @microsoft/microsoft-graph-client: a report is exported, and a file
// uploaded by the client's own upload task.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import graph from '@microsoft/microsoft-graph-client';

import { apps, graphAs, states } from './demo.js';

const writer = graphAs(apps.writer);
const reader = graphAs(apps.reader);

// done asks for a job until it has ended.
async function done(client, path) {
  for (let tries = 0; tries < 300; tries++) {
    const job = await client.api(path).get();
    if (job.status === 'completed' || job.status === 'failed') return job;
    await sleep(100);
  }
  throw new Error(`${path} does not end`);
}

test('a report is exported', async () => {
  const jobs = '/deviceManagement/reports/exportJobs';
  const job = await reader.api(jobs).post({ reportName: 'CertificateStates', format: 'json', select: ['id'] });
  assert.equal(job.url, null);
  const { url, status } = await done(reader, `${jobs}('${job.id}')`);
  assert.equal(status, 'completed');
  const res = await fetch(url);
  assert.equal(res.status, 200);
  assert.equal(res.headers.get('content-type'), 'application/zip');
  assert.equal(Buffer.from(await res.arrayBuffer()).subarray(0, 4).toString('latin1'), 'PK\x03\x04');
});

test('a file is uploaded and brought in', async (t) => {
  const jobs = '/deviceManagement/certstate.importJobs';
  const rows = 20000;
  const ids = Array.from({ length: rows }, (_, i) => `node-job-${i}`);
  const text = ids.map((id) => `${JSON.stringify({ id, managedDeviceDisplayName: `Device of ${id}` })}\n`).join('');
  const job = await writer.api(jobs).post({ fileName: 'rows.ndjson', dryRun: true });
  t.after(() => writer.api(`${jobs}/${job.id}`).delete());
  const file = new graph.FileUpload(Buffer.from(text), 'rows.ndjson', text.length);
  const session = { url: job.uploadUrl, expiry: new Date(job.expirationDateTime) };
  let slices = 0;
  const task = new graph.LargeFileUploadTask(writer, file, session, {
    rangeSize: 320 * 1024,
    uploadEventHandlers: { progress: () => { slices++; } },
  });
  const result = await task.upload();
  assert.equal(result.responseBody.id, job.id);
  assert.ok(slices > 3, `${slices} ranges`);
  const ended = await done(writer, `${jobs}/${job.id}`);
  assert.deepEqual([ended.status, ended.createdCount, ended.rejectedCount], ['completed', rows, 0]);
  const there = await writer.api(`${states}/$count`).filter("startswith(id,'node-job-')").get();
  assert.equal(Number(there), 0, 'it was a dry run');
});
