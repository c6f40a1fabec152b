// The OpenAPI document, read by others: a validator, and openapi-client-axios,
// which makes a client of it while it runs.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';

import { Validator } from '@seriousme/openapi-schema-validator';
import openapi from 'openapi-client-axios';

import { apps, fleet, graphAs, service, states, tokens } from './demo.js';

const definition = async () => (await fetch(`${service}/openapi.json`)).json(); // needs no token

let client;
before(async () => {
  const headers = { Authorization: `Bearer ${await tokens(apps.writer)()}` };
  const api = new openapi.OpenAPIClientAxios({ definition: await definition(), axiosConfigDefaults: { headers } });
  client = await api.init();
});

test('is valid', async () => {
  const validator = new Validator();
  const { valid, errors } = await validator.validate(await definition());
  assert.ok(valid, JSON.stringify(errors));
  assert.equal(validator.version, '3.1');
});

test('its operations read', async () => {
  const want = await graphAs(apps.reader).api(states).filter(`${fleet} and certificateRevokeStatus eq 'revoked'`).get();
  const query = { $filter: `${fleet} and certificateRevokeStatus eq 'revoked'` };
  const { data } = await client.listStates({ ...query, $orderby: 'certificateSubjectName', $select: 'id', $count: true, $top: 3 });
  assert.equal(data['@odata.count'], want.value.length);
  assert.equal(data.value.length, 3);
  assert.equal((await client.countStates(query)).data, want.value.length);
  assert.equal((await client.getDeviceManagement()).data.id, apps.writer.tenant);
  assert.equal((await client.getService()).data.value[0].name, 'deviceManagement');
  assert.equal((await client.getDelta({ $deltatoken: 'latest' })).data.value.length, 0);
});

test('its operations write', async (t) => {
  const id = `openapi ${Date.now()}`; // what was deleted keeps its history
  const key = { 'managedAllDeviceCertificateState-id': id };
  t.after(() => client.deleteState(key).catch(() => {}));
  assert.equal((await client.createState({ 'Certstate-Reason': 'enrolled' }, { id })).status, 201);
  assert.equal((await client.updateState(key, { certificateRevokeStatus: 'revoked' })).data.certificateRevokeStatus, 'revoked');
  assert.equal((await client.getState(key)).data.certificateRevokeStatus, 'revoked');

  const { data: history } = await client.getHistory(key);
  assert.deepEqual(history.value.map((c) => [c.kind, c.reason]), [['created', 'enrolled'], ['updated', '']]);
  const requests = [{ id: '1', method: 'DELETE', url: `${states}/${encodeURIComponent(id)}` }];
  assert.equal((await client.sendBatch(null, { requests })).data.responses[0].status, 204);
  await assert.rejects(client.getState(key), (err) => err.response.status === 404);
});
