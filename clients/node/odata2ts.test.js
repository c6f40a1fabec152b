// odata2ts, a client for any OData service: it makes classes of the demo's
// $metadata, and those make the requests. It was chosen of the clients on npm
// because it reads all of the metadata and is alive. It writes keys as ('key').
// Its compiler has to be TypeScript 5: there is none in TypeScript 7 it can use.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { FetchClient } from '@odata2ts/http-client-fetch';

import { apps, bare, by, fleet, graphAs, ids, service, states, tokens } from './demo.js';

const here = fileURLToPath(new URL('.', import.meta.url));
const modules = join(here, 'node_modules');
const generated = join(modules, '.odata2ts');

// generate makes the classes where they can import the packages they need.
function generate() {
  rmSync(generated, { recursive: true, force: true });
  mkdirSync(generated);
  writeFileSync(join(generated, 'package.json'), '{"type":"commonjs"}');
  writeFileSync(join(generated, 'tsconfig.json'),
    '{"compilerOptions":{"module":"commonjs","moduleResolution":"node","target":"es2022"}}');
  execFileSync(process.execPath, [join(modules, '@odata2ts/odata2ts/lib/run-cli.js'),
    '--source-url', service, '--source', join(generated, 'metadata.xml'), '--output', join(generated, 'out'),
    '--mode', 'service', '--emit-mode', 'js', '--tsconfig', join(generated, 'tsconfig.json'), '--disable-auto-managed-key'],
  { cwd: here, stdio: 'pipe' });
  return createRequire(import.meta.url)(join(generated, 'out/MicrosoftGraphService.js')).MicrosoftGraphService;
}

let Service, everything;
before(async () => {
  Service = generate();
  ({ value: everything } = await graphAs(apps.reader).api(states).filter(fleet).get());
});

// certificates are the collection, or the record id, as app sees it.
async function certificates(app, id) {
  const client = new FetchClient({ headers: { Authorization: `Bearer ${await tokens(app)()}` } });
  return new Service(client, service).deviceManagement().deviceConfigurationsAllManagedDeviceCertificateStates(id);
}

test('the singleton above the collection', async () => {
  const client = new FetchClient({ headers: { Authorization: `Bearer ${await tokens(apps.reader)()}` } });
  const { data } = await new Service(client, service).deviceManagement().query();
  assert.equal(data.id, apps.reader.tenant);
});

test('a typed query', async () => {
  const want = everything.filter((s) => ['pending', 'revoked'].includes(s.certificateRevokeStatus) && s.managedDeviceDisplayName.includes('LAPTOP'))
    .sort(by('-certificateExpirationDateTime'));
  const all = await certificates(apps.reader);
  const { data } = await all.query((builder, s) => builder
    .filter(s.certificateRevokeStatus.eq('pending').or(s.certificateRevokeStatus.eq('revoked')))
    .filter(s.managedDeviceDisplayName.contains('LAPTOP'))
    .orderBy(s.certificateExpirationDateTime.desc(), s.id.asc())
    .select('id', 'certificateExpirationDateTime').count().skip(2).top(3));
  assert.equal(data['@odata.count'], want.length);
  assert.deepEqual(data.value.map(bare),
    want.slice(2, 5).map(({ id, certificateExpirationDateTime }) => ({ id, certificateExpirationDateTime })));
});

test('typed functions, dates and a search', async () => {
  const middle = everything.map((s) => s.certificateExpirationDateTime).sort()[everything.length >> 1];
  const want = everything.filter((s) => s.certificateExpirationDateTime > middle
    && s.certificateExpirationDateTime.slice(0, 4) === middle.slice(0, 4)
    && s.userPrincipalName.startsWith('jonas') && s.certificateIssuerName.length > 40).sort(by());
  const all = await certificates(apps.reader);
  const { data } = await all.query((builder, s) => builder
    .filter(s.certificateExpirationDateTime.gt(middle), s.certificateExpirationDateTime.year().eq(Number(middle.slice(0, 4))),
      s.userPrincipalName.toLower().startsWith('jonas'), s.certificateIssuerName.length().gt(40))
    .search('fleet').orderBy(s.id.asc()));
  assert.deepEqual(data.value.map((record) => record.id), ids(want));
});

test('groups', async () => {
  const all = await certificates(apps.reader);
  const { data } = await all.query((builder) => builder.groupBy('certificateRevokeStatus'));
  assert.deepEqual(data.value.map((group) => group.certificateRevokeStatus).sort(),
    [...new Set(everything.map((s) => s.certificateRevokeStatus))].sort());
});

test('create, read, update, delete', async (t) => {
  const id = 'odata2ts, spaced/slashed'; // it does not double quotes, so none of them
  const record = await certificates(apps.writer, id);
  t.after(() => record.delete().catch(() => {}));
  const all = await certificates(apps.writer);

  const made = await all.create({ id, certificateRevokeStatus: 'pending', certificateKeyUsages: 160 });
  assert.equal(made.status, 201);
  assert.equal((await record.query()).data.certificateKeyUsages, 160);
  assert.equal((await record.patch({ certificateRevokeStatus: 'revoked' })).data.certificateRevokeStatus, 'revoked');
  assert.equal((await record.delete()).status, 204);
  await assert.rejects(record.query(), (err) => err.status === 404 && err.message.includes(id));
});

test('an error of a query', async () => {
  const all = await certificates(apps.reader);
  await assert.rejects(all.query((builder, s) => builder.filter(s.certificateKeyUsages.divide(0).gt(1))),
    (err) => err.status === 400 && /OData server responded with error: .*zero/.test(err.message));
});

test('jobs and sources are where the metadata has them', async (t) => {
  const client = new FetchClient({ headers: { Authorization: `Bearer ${await tokens(apps.writer)()}` } });
  const root = new Service(client, service);
  const { data: job } = await root.certstate().importJobs().create({ fileName: 'odata2ts.p12', dryRun: true, password: 'kept to itself' });
  const one = root.certstate().importJobs(job.id);
  t.after(() => one.delete().catch(() => {}));
  assert.deepEqual([job.fileName, job.dryRun, job.password], ['odata2ts.p12', true, undefined]);
  assert.equal((await one.query()).data.status, 'notStarted');
  assert.deepEqual((await one.rejected()).data.value, []);
  assert.equal((await one.delete()).status, 204);

  const reports = root.deviceManagement().reports();
  const { data: report } = await reports.exportJobs().create({ reportName: 'AllDeviceCertificates', format: 'json' });
  assert.equal((await reports.exportJobs(report.id).query()).data.status, 'completed');
  assert.deepEqual((await root.certstate().sources().query()).data.value, []);
});
