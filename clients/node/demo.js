// What the tests share: the demo's addresses and apps, which ../run.sh sets in
// the environment, and clients pointed at them.
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { ConfidentialClientApplication } from '@azure/msal-node';
import graph from '@microsoft/microsoft-graph-client';

const env = process.env;
if (!env.BASE_URL) {
  throw new Error('BASE_URL is not set: use ../run.sh, or start certstate demo and source its demo.env');
}

export const origin = new URL(env.BASE_URL).origin;
export const scopes = [`${env.AUDIENCE}/.default`];
export const service = `${origin}/beta`;
export const states = '/deviceManagement/deviceConfigurationsAllManagedDeviceCertificateStates';

// fleet is a filter for the demo's own records, which no test changes.
export const fleet = "endswith(userPrincipalName,'@fleet.example')";

export const apps = {
  writer: { tenant: env.TENANT, clientId: env.CLIENT_ID, clientSecret: env.CLIENT_SECRET },
  reader: { tenant: env.TENANT, clientId: env.READER_CLIENT_ID, clientSecret: env.READER_CLIENT_SECRET },
  other: { tenant: env.TENANT_B, clientId: env.CLIENT_ID_B, clientSecret: env.CLIENT_SECRET_B },
};

// person is the first tenant's user, and the public app people sign in with.
// Only demo.json has them, which is in the demo's folder.
export function person() {
  const file = join(dirname(env.NODE_EXTRA_CA_CERTS), 'demo.json');
  const { id: tenant, user, password, signIn: clientId } = JSON.parse(readFileSync(file, 'utf8')).tenants[0];
  return { tenant, user, password, clientId };
}

// authority is what every MSAL application has to be told of the demo.
export const authority = (tenant) => ({
  authority: `${origin}/${tenant}`,
  knownAuthorities: [new URL(origin).host],
});

export function msal({ tenant, clientId, clientSecret }) {
  return new ConfidentialClientApplication({ auth: { clientId, clientSecret, ...authority(tenant) } });
}

// graphWith is a Graph client that gets its tokens from token(). Without
// customHosts it would send none to the demo.
export function graphWith(token) {
  return graph.Client.initWithMiddleware({
    baseUrl: `${origin}/`,
    defaultVersion: 'beta',
    customHosts: new Set([new URL(origin).hostname]),
    authProvider: { getAccessToken: token },
  });
}

// tokens is a function that gets app a token, or the one MSAL has cached.
export function tokens(app) {
  const client = msal(app);
  return async () => (await client.acquireTokenByClientCredential({ scopes })).accessToken;
}

export const graphAs = (app) => graphWith(tokens(app));

// bare is a record without annotations.
export const bare = (record) => Object.fromEntries(Object.entries(record).filter(([name]) => !name.includes('@')));

export const ids = (records) => records.map(({ id }) => id);

// by compares records by keys in turn, "-key" downwards, in the order of code
// points; dates have to be of one offset.
export const by = (...keys) => (a, b) => {
  for (const key of [...keys, 'id']) {
    const name = key.replace(/^-/, '');
    const sign = name === key ? 1 : -1;
    if (a[name] !== b[name]) return a[name] < b[name] ? -sign : sign;
  }
  return 0;
};
