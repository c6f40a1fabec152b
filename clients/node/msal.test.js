// MSAL Node: an app's own token, and a person's by authorization code with PKCE.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { CryptoProvider, PublicClientApplication } from '@azure/msal-node';

import { apps, authority, graphWith, msal, person, scopes, states } from './demo.js';

const redirectUri = 'http://localhost';

const reads = async (accessToken) => {
  const list = await graphWith(async () => accessToken).api(states).top(1).get();
  assert.equal(list.value.length, 1);
};

test('client credentials', async () => {
  const client = msal(apps.reader);
  const { accessToken } = await client.acquireTokenByClientCredential({ scopes });
  await reads(accessToken);
  const again = await client.acquireTokenByClientCredential({ scopes });
  assert.ok(again.fromCache);
});

for (const [name, app, number] of [
  ['wrong secret', { ...apps.reader, clientSecret: 'wrong' }, 7000215],
  ['app of another tenant', { ...apps.other, tenant: apps.reader.tenant }, 700016],
]) {
  test(`client credentials: ${name}`, async () => {
    await assert.rejects(msal(app).acquireTokenByClientCredential({ scopes }), new RegExp(`AADSTS${number}:`));
  });
}

// signIn does what a browser and its user would: it opens the page, fills the
// form in and returns where that leads.
async function signIn(url, username, password) {
  const page = await fetch(url);
  const [, request] = (await page.text()).match(/name="request" value="([^"]+)"/);
  const answer = await fetch(new URL('login', page.url), {
    method: 'POST',
    redirect: 'manual',
    body: new URLSearchParams({ request, username, password }),
  });
  return { status: answer.status, location: answer.headers.get('location') };
}

test('authorization code with PKCE', async () => {
  const { tenant, user, password, clientId } = person();
  const client = new PublicClientApplication({ auth: { clientId, ...authority(tenant) } });
  const { verifier, challenge } = await new CryptoProvider().generatePkceCodes();
  const url = await client.getAuthCodeUrl({
    scopes, redirectUri, state: 'a state', codeChallenge: challenge, codeChallengeMethod: 'S256',
  });

  assert.equal((await signIn(url, user, 'wrong')).location, null);
  const { location } = await signIn(url, user, password);
  const answer = new URL(location);
  assert.equal(answer.origin, redirectUri);
  assert.equal(answer.searchParams.get('state'), 'a state');

  const code = answer.searchParams.get('code');
  const got = await client.acquireTokenByCode({ scopes, redirectUri, code, codeVerifier: verifier });
  assert.equal(got.account.username, user);
  assert.equal(got.account.tenantId, tenant);
  await reads(got.accessToken);

  const renewed = await client.acquireTokenSilent({ scopes, account: got.account, forceRefresh: true });
  assert.ok(!renewed.fromCache);
  await reads(renewed.accessToken);
});
