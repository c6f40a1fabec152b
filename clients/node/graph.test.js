// @microsoft/microsoft-graph-client, with tokens of MSAL Node.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import graph from '@microsoft/microsoft-graph-client';

import { apps, bare, fleet, graphAs, graphWith, states } from './demo.js';

const writer = graphAs(apps.writer);
const reader = graphAs(apps.reader);

// The example on Graph's page "Create managedAllDeviceCertificateState".
const page = {
  '@odata.type': '#microsoft.graph.managedAllDeviceCertificateState',
  id: '987c6a17-6a17-987c-176a-7c98176a7c98',
  certificateRevokeStatus: 'pending',
  certificateRevokeStatusLastChangeDateTime: '2016-12-31T23:59:34.9547208-08:00',
  managedDeviceDisplayName: 'Managed Device Display Name value',
  userPrincipalName: 'User Principal Name value',
  certificateExpirationDateTime: '2017-01-01T00:02:14.9489247-08:00',
  certificateIssuerName: 'Certificate Issuer Name value',
  certificateThumbprint: 'Certificate Thumbprint value',
  certificateSerialNumber: 'Certificate Serial Number value',
  certificateSubjectName: 'Certificate Subject Name value',
  certificateKeyUsages: 4,
  certificateExtendedKeyUsages: 'Certificate Extended Key Usages value',
  certificateIssuanceDateTime: '2016-12-31T23:59:41.5044473-08:00',
};

const at = (id) => `${states}/${encodeURIComponent(id)}`;

// create makes the page's record under id, and takes it away after the test.
async function create(t, id) {
  t.after(() => writer.api(at(id)).delete().catch(() => {})); // some tests have deleted it
  return writer.api(states).post({ ...page, id });
}

// rejects checks what the client makes of an error response.
const rejects = (promise, statusCode, code) =>
  assert.rejects(promise, (err) => {
    assert.ok(err instanceof graph.GraphError, `${err}`);
    assert.deepEqual([err.statusCode, err.code], [statusCode, code]);
    assert.ok(err.message && err.requestId && err.date.getTime(), 'message, request id and date');
    return true;
  });

for (const id of [page.id, "a b'c/d_e"]) {
  test(`create, get, update, delete: ${id}`, async (t) => {
    const want = bare({ ...page, id });
    assert.deepEqual(bare(await create(t, id)), want);
    assert.deepEqual(bare(await writer.api(at(id)).get()), want);

    const change = { certificateRevokeStatus: 'revoked', certificateThumbprint: null };
    assert.deepEqual(bare(await writer.api(at(id)).patch(change)), { ...want, ...change });

    await writer.api(at(id)).delete();
    await rejects(writer.api(at(id)).get(), 404, 'ResourceNotFound');
  });
}

test('what was got can be sent back', async (t) => {
  await create(t, 'node-patch');
  const got = await writer.api(at('node-patch')).get();
  const updated = await writer.api(at('node-patch')).patch({ ...got, certificateRevokeStatus: 'issued' });
  assert.deepEqual(bare(updated), { ...bare(got), certificateRevokeStatus: 'issued' });
});

test('select and count', async () => {
  const list = await reader.api(states).select('id,userPrincipalName').count(true).top(5).get();
  assert.ok(list['@odata.count'] >= 250);
  assert.equal(list.value.length, 5);
  for (const record of list.value) {
    assert.deepEqual(Object.keys(bare(record)), ['id', 'userPrincipalName']);
  }
});

test('pages', async () => {
  const seen = new Map();
  const first = await reader.api(states).filter(fleet).top(100).get();
  const pages = new graph.PageIterator(reader, first, ({ id }) => {
    seen.set(id, (seen.get(id) ?? 0) + 1);
    return true;
  });
  await pages.iterate();
  const repeated = [...seen].filter(([, n]) => n !== 1);
  assert.deepEqual(repeated, []);
  assert.ok(seen.size >= 250, `${seen.size} records`);
  assert.equal(`${seen.size}`, await reader.api(`${states}/$count`).filter(fleet).get());
});

test('another tenant', async (t) => {
  await create(t, 'node-tenants');
  const other = graphAs(apps.other);
  assert.deepEqual((await other.api(states).get()).value, []);
  await rejects(other.api(at('node-tenants')).get(), 404, 'ResourceNotFound');
});

for (const [name, status, code, request] of [
  ['a wrong token', 401, 'InvalidAuthenticationToken', () => graphWith(async () => 'wrong').api(states).get()],
  ['a reader creates', 403, 'Forbidden', () => reader.api(states).post(page)],
  ['id in use', 409, 'Conflict', () => writer.api(states).post({ id: 'node-errors' })],
  ['no such status', 400, 'BadRequest', () => writer.api(states).post({ certificateRevokeStatus: 'gone' })],
  ['no such option', 400, 'BadRequest', () => reader.api(states).query({ $colour: 'red' }).get()],
  ['malformed filter', 400, 'BadRequest', () => reader.api(states).filter('id equals 1').get()],
  ['unknown property', 400, 'BadRequest', () => reader.api(states).filter("deviceName eq 'x'").get()],
  ['another version', 412, 'ConditionNotMet', () => writer.api(at('node-errors')).header('If-Match', 'W/"0"').delete()],
]) {
  test(`error: ${name}`, async (t) => {
    await create(t, 'node-errors');
    await rejects(request(), status, code);
  });
}
