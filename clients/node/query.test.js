// The query language, batches, delta and history, as
// @microsoft/microsoft-graph-client sends them.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';

import graph from '@microsoft/microsoft-graph-client';

import { apps, bare, by, fleet, graphAs, ids, service, states } from './demo.js';

const writer = graphAs(apps.writer);
const reader = graphAs(apps.reader);
const at = (id) => `${states}/${encodeURIComponent(id)}`;

// everything is what answers are compared with: the demo's records, unsorted.
// Half of them expire before middle.
let everything, middle;
before(async () => {
  ({ value: everything } = await reader.api(states).filter(fleet).get());
  assert.ok(everything.length >= 250, `${everything.length} records`);
  middle = everything.map((s) => s.certificateExpirationDateTime).sort()[everything.length >> 1];
});

// all follows the nextLinks of a first page.
async function all(first) {
  const records = [];
  await new graph.PageIterator(reader, first, (record) => records.push(record)).iterate();
  return records;
}

const list = () => reader.api(states).select('id').orderby('id');

// east is a time as it is written two hours east of Greenwich.
const east = (time) => `${new Date(Date.parse(time) + 7200_000).toISOString().slice(0, 19)}+02:00`;

for (const [name, request, matches] of [
  ['a date', () => list().filter(`${fleet} and certificateExpirationDateTime lt ${middle}`),
    (s) => s.certificateExpirationDateTime < middle],
  ['a date with another offset', () => list().filter(`${fleet} and certificateExpirationDateTime lt ${east(middle)}`),
    (s) => s.certificateExpirationDateTime < middle],
  ['an enumeration', () => list().filter(`${fleet} and certificateRevokeStatus in ('pending','revoked')`),
    (s) => ['pending', 'revoked'].includes(s.certificateRevokeStatus)],
  ['functions', () => list().filter(`contains(tolower(managedDeviceDisplayName),'laptop') and month(certificateExpirationDateTime) ne ${middle.slice(5, 7)}`),
    (s) => s.managedDeviceDisplayName.includes('LAPTOP') && s.certificateExpirationDateTime.slice(5, 7) !== middle.slice(5, 7)],
  ['arithmetic', () => list().filter(`${fleet} and certificateKeyUsages mod 32 eq 0 and not (certificateRevokeStatus eq 'none')`),
    (s) => s.certificateKeyUsages % 32 === 0 && s.certificateRevokeStatus !== 'none'],
  ['a search', () => list().search('("fleet wi-fi ca" OR laptop) AND NOT mei.tanaka'),
    (s) => /Fleet Wi-Fi CA|LAPTOP/.test(s.certificateIssuerName + s.managedDeviceDisplayName) && !s.userPrincipalName.startsWith('mei.')],
]) {
  test(`filter: ${name}`, async () => {
    const want = everything.filter(matches).sort(by());
    assert.ok(want.length > 0 && want.length < everything.length, `${want.length} records match`);
    const { value } = await request().get();
    assert.deepEqual(value.map(bare), want.map(({ id }) => ({ id })));
  });
}

test('every option at once', async () => {
  const want = everything.filter((s) => s.certificateRevokeStatus !== 'none').sort(by('userPrincipalName', '-certificateExpirationDateTime'));
  const page = await reader.api(states).filter(`${fleet} and certificateRevokeStatus ne 'none'`).search('fleet')
    .orderby(['userPrincipalName', 'certificateExpirationDateTime desc'])
    .select(['id', 'userPrincipalName']).skip(7).top(5).count(true).get();
  assert.equal(page['@odata.count'], want.length);
  assert.deepEqual(page.value.map(bare), want.slice(7, 12).map(({ id, userPrincipalName }) => ({ id, userPrincipalName })));
  assert.deepEqual(ids(await all(page)), ids(want.slice(7)));
});

test('pages of a filtered, sorted list', async () => {
  const want = [...everything].sort(by('-certificateIssuerName', 'certificateSubjectName'));
  const first = await reader.api(states).filter(fleet).orderby('certificateIssuerName desc,certificateSubjectName').top(60).get();
  assert.equal(first.value.length, 60);
  assert.deepEqual(ids(await all(first)), ids(want));
});

test('a count with filter and search', async () => {
  const want = everything.filter((s) => s.certificateRevokeStatus === 'revoked' && s.managedDeviceDisplayName.includes('IPHONE'));
  const count = await reader.api(`${states}/$count`).filter("certificateRevokeStatus eq 'revoked'").search('"iphone"').get();
  assert.equal(count, `${want.length}`);
});

test('groups', async () => {
  const { value } = await reader.api(states).query({
    $apply: `filter(${fleet})/groupby((certificateRevokeStatus),aggregate($count as n,certificateExpirationDateTime with max as last))`,
  }).get();
  for (const { certificateRevokeStatus, n, last } of value) {
    const group = everything.filter((s) => s.certificateRevokeStatus === certificateRevokeStatus);
    assert.equal(n, group.length);
    assert.equal(last, group.map((s) => s.certificateExpirationDateTime).sort().at(-1));
  }
  assert.equal(value.length, new Set(everything.map((s) => s.certificateRevokeStatus)).size);
});

test('an error names the property, the option and the cure', async () => {
  await assert.rejects(reader.api(states).filter("managedDeviceDisplayname eq 'x'").get(), (err) => {
    assert.deepEqual([err.statusCode, err.code, JSON.parse(err.body).target], [400, 'BadRequest', '$filter']);
    assert.match(err.message, /'managedDeviceDisplayname'.*managedDeviceDisplayName/);
    return true;
  });
});

// batch sends requests, each {id, method, path, body, after}.
async function batch(client, requests) {
  const content = new graph.BatchRequestContent();
  for (const { id, method = 'GET', path, body } of requests) {
    const headers = body && { 'Content-Type': 'application/json' };
    content.addRequest({ id, request: new Request(service + path, { method, headers, body: body && JSON.stringify(body) }) });
  }
  for (const { id, after } of requests) {
    if (after) content.addDependency(id, after);
  }
  return new graph.BatchResponseContent(await client.api('/$batch').post(await content.getContent()));
}

test('batch: one after another', async (t) => {
  const id = 'node-batch';
  t.after(() => writer.api(at(id)).delete().catch(() => {}));
  const answers = await batch(writer, [
    { id: 'create', method: 'POST', path: states, body: { id, certificateRevokeStatus: 'pending' } },
    { id: 'read', path: at(id), after: 'create' },
    { id: 'update', method: 'PATCH', path: at(id), body: { certificateRevokeStatus: 'revoked' }, after: 'read' },
    { id: 'delete', method: 'DELETE', path: at(id), after: 'update' },
    { id: 'gone', path: at(id), after: 'delete' },
  ]);
  const status = (name) => answers.getResponseById(name).status;
  assert.deepEqual(['create', 'read', 'update', 'delete', 'gone'].map(status), [201, 200, 200, 204, 404]);
  assert.equal((await answers.getResponseById('read').json()).certificateRevokeStatus, 'pending');
  assert.equal((await answers.getResponseById('update').json()).certificateRevokeStatus, 'revoked');
  assert.equal((await answers.getResponseById('gone').json()).error.code, 'ResourceNotFound');
});

test('batch: twenty side by side', async () => {
  const want = [...everything].sort(by()).slice(0, 20);
  const answers = await batch(reader, want.map(({ id }) => ({ id, path: `${at(id)}?$select=id,userPrincipalName` })));
  for (const { id, userPrincipalName } of want) {
    assert.deepEqual(bare(await answers.getResponseById(id).json()), { id, userPrincipalName });
  }
});

test('batch: all after one that fails', async () => {
  const answers = await batch(reader, [
    { id: 'first', path: at('node-nobody') },
    { id: 'a', path: `${states}?$top=1`, after: 'first' },
    { id: 'b', path: `${states}?$filter=${encodeURIComponent(fleet)}`, after: 'first' },
  ]);
  assert.deepEqual(['first', 'a', 'b'].map((id) => answers.getResponseById(id).status), [404, 424, 424]);
});

test('delta: a copy follows the register', async (t) => {
  const copy = new Map();
  const put = (record) => {
    if (record['@removed']) copy.delete(record.id);
    else copy.set(record.id, bare(record));
    return true;
  };
  const round = async (url) => {
    const pages = new graph.PageIterator(reader, await reader.api(url).get(), put);
    await pages.iterate();
    assert.ok(pages.getDeltaLink(), 'the last page has a deltaLink');
    return pages.getDeltaLink();
  };
  t.after(() => writer.api(at('node-delta')).delete().catch(() => {}));

  let link = await round(`${states}/delta?$filter=${encodeURIComponent(`${fleet} or id eq 'node-delta'`)}&$top=100`);
  assert.deepEqual([...copy.values()].sort(by()), everything.map(bare).sort(by()));

  const made = bare(await writer.api(states).post({ id: 'node-delta', certificateRevokeStatus: 'pending' }));
  link = await round(link);
  assert.deepEqual(copy.get('node-delta'), made);

  await writer.api(at('node-delta')).patch({ certificateRevokeStatus: 'revoked' });
  link = await round(link);
  assert.deepEqual(copy.get('node-delta'), { ...made, certificateRevokeStatus: 'revoked' });

  await writer.api(at('node-delta')).delete();
  await round(link);
  assert.equal(copy.size, everything.length);
});

test('history and as-of', async (t) => {
  const id = `node 'history' ${Date.now()}`; // what was deleted keeps its history
  t.after(() => writer.api(at(id)).delete().catch(() => {}));
  await writer.api(states).header('Certstate-Reason', 'enrolled').post({ id, managedDeviceDisplayName: 'one' });
  const { lastModifiedDateTime } = await writer.api(at(id)).select('lastModifiedDateTime').get();
  await writer.api(at(id)).header('Certstate-Reason', 'renamed').patch({ managedDeviceDisplayName: 'two' });

  const { value } = await reader.api(`${at(id)}/certstate.history()`).get();
  assert.deepEqual(value.map((c) => [c.kind, c.reason, c.before?.managedDeviceDisplayName, c.after.managedDeviceDisplayName]),
    [['created', 'enrolled', undefined, 'one'], ['updated', 'renamed', 'one', 'two']]);

  const then = await reader.api(at(id)).query({ 'certstate.asOf': lastModifiedDateTime }).get();
  assert.equal(then.managedDeviceDisplayName, 'one');
});
