// Power Query, which reads OData for Excel and Power BI, runs nowhere else:
// these are its requests as others have recorded them, sent by hand, and what
// the library in it (ODataLib) insists on in the answers.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';

import { apps, bare, by, fleet, ids, service, states, tokens } from './demo.js';

const agent = {
  'User-Agent': 'Microsoft.Data.Mashup (https://go.microsoft.com/fwlink/?LinkID=304225)',
  'Accept-Encoding': 'gzip, deflate',
};

// Until it knows the version of OData it asks for all that it can read.
const first = {
  ...agent,
  'Accept': 'application/json;odata.metadata=minimal;q=1.0,application/json;odata=minimalmetadata;q=0.9,application/atomsvc+xml;q=0.8,application/atom+xml;q=0.8,application/xml;q=0.7,text/plain;q=0.7',
  'MaxDataServiceVersion': '3.0',
  'OData-MaxVersion': '4.0',
};
const later = { ...agent, 'Accept': 'application/json;odata.metadata=minimal', 'OData-MaxVersion': '4.0' };

// json is one of the content types of ODataLib, but for the charset.
const json = /^application\/json;odata\.metadata=minimal;odata\.streaming=true;IEEE754Compatible=false(;charset=utf-8)?$/i;

const token = tokens(apps.reader);

async function get(url, headers) {
  const answer = await fetch(url, { headers: { ...headers, Authorization: `Bearer ${await token()}` } });
  assert.equal(answer.status, 200, `${url}: ${answer.status}`);
  assert.equal(answer.headers.get('OData-Version'), '4.0'); // two headers would be "4.0, 4.0"
  return answer;
}

async function getJSON(url, headers = later) {
  const answer = await get(url, headers);
  assert.match(answer.headers.get('Content-Type'), json);
  const body = await answer.json();
  checkContext(body);
  return body;
}

// feed follows nextLinks to the end.
async function feed(url, headers = {}) {
  const rows = [];
  for (let page; url; url = page['@odata.nextLink']) {
    page = await getJSON(url, { ...later, ...headers });
    rows.push(...page.value);
  }
  return rows;
}

// schema has a type's members by the name in full, with a namespace or alias.
const schema = new Map();
let metadata, everything;

before(async () => {
  const answer = await get(`${service}/$metadata`, first);
  assert.match(answer.headers.get('Content-Type'), /^application\/xml/);
  metadata = await answer.text();
  for (const [, attributes, types] of metadata.matchAll(/<Schema ([^>]*)>(.*?)<\/Schema>/gs)) {
    const names = [...attributes.matchAll(/(?:Namespace|Alias)="([^"]*)"/g)].map((m) => m[1]);
    for (const [, kind, more, members] of types.matchAll(/<(EntityType|ComplexType|EnumType|EntityContainer) ([^>]*)>(.*?)<\/\1>/gs)) {
      const type = { kind, base: more.match(/BaseType="([^"]*)"/)?.[1], members: new Map() };
      for (const [, name, of] of members.matchAll(/<(?:NavigationProperty|Property|Singleton) Name="([^"]*)" Type="([^"]*)"/g)) {
        type.members.set(name, of);
      }
      for (const name of names) schema.set(`${name}.${more.match(/Name="([^"]*)"/)[1]}`, type);
    }
  }
  everything = await feed(`${service}${states}?$filter=${encodeURIComponent(fleet)}`);
});

// memberType is the type of a type's member, or of its base's.
function memberType(typeName, member) {
  const type = schema.get(typeName);
  assert.ok(type, `${typeName} is not in $metadata`);
  return type.members.get(member) ?? (type.base && memberType(type.base, member));
}

const container = () => [...schema].find(([, type]) => type.kind === 'EntityContainer')[0];

// checkContext resolves the type in @odata.context as ODataLib does, and the
// properties of what it describes.
function checkContext(body) {
  const [base, fragment] = body['@odata.context'].split('#');
  assert.equal(base, `${service}/$metadata`);
  if (!fragment) return; // the service document
  const named = fragment.match(/^Collection\(([^)]*)\)$/)?.[1];
  let type = named ?? container();
  if (!named) {
    for (const step of fragment.replace(/\(.*\)/, '').replace(/\/\$\w+$/, '').split('/')) {
      type = memberType(type, step)?.replace(/^Collection\((.*)\)$/, '$1');
      assert.ok(type, `${step} of ${fragment} is not in $metadata`);
    }
  }
  for (const record of body.value ?? [body]) {
    for (const name of Object.keys(bare(record))) {
      const of = memberType(type, name);
      assert.ok(of, `${type} has no ${name}`);
      assert.ok(/^(Collection\()?Edm\./.test(of) || schema.has(of), `${of} of ${name} is not in $metadata`);
    }
  }
}

test('sign-in: the authority, and then where to ask it', async () => {
  const challenge = async (headers) => {
    const answer = await fetch(service, { headers });
    assert.equal(answer.status, 401);
    return answer.headers.get('WWW-Authenticate');
  };
  const realm = (await challenge(first)).match(/^Bearer realm=(https:\S+)$/)[1];
  const uri = (await challenge({ ...first, Authorization: 'Bearer' })).match(/^Bearer authorization_uri=(https:\S+)$/)[1];
  assert.equal(uri, `${realm}/oauth2/authorize`);
});

test('from the service document to the feed', async () => {
  const root = await getJSON(service, first);
  const [{ url, kind }] = root.value.filter(({ name }) => name === 'deviceManagement');
  assert.equal(kind, 'Singleton');
  const singleton = await getJSON(new URL(url, `${service}/`));
  assert.equal(singleton.id, apps.reader.tenant);
  assert.ok(memberType(memberType(container(), 'deviceManagement'), states.split('/')[2]));

  const rows = await feed(`${service}${states}?$filter=${encodeURIComponent(fleet)}`, { Prefer: 'odata.maxpagesize=70' });
  assert.ok(rows.length >= 250, `${rows.length} rows`);
  assert.equal(new Set(ids(rows)).size, rows.length);
  const count = await get(`${service}${states}/$count?$filter=${encodeURIComponent(fleet)}`, first);
  assert.equal(await count.text(), `${rows.length}`);
});

test('"keep top rows" is $top, and the number of all there are to load', async () => {
  for (const headers of [{}, { Prefer: 'odata.maxpagesize=30' }]) {
    assert.equal((await feed(`${service}${states}?$top=70`, headers)).length, 70);
  }
});

test('a feed with the columns Graph does not have', async () => {
  const [row] = (await getJSON(`${service}${states}?$select=id,deviceId,certificateSha256Thumbprint,lastModifiedDateTime&$top=1`)).value;
  assert.deepEqual(Object.keys(bare(row)), ['id', 'deviceId', 'certificateSha256Thumbprint', 'lastModifiedDateTime']);
});

test('types of functions resolve', async () => {
  const { value } = await getJSON(`${service}${states}('${everything[0].id}')/certstate.history()`);
  assert.equal(value[0].kind, 'created');
  const delta = await getJSON(`${service}${states}/microsoft.graph.delta()?$top=1`);
  assert.equal(delta.value.length, 1);
});

// escape writes an option as .NET's Uri.EscapeDataString does.
const escape = (text) => encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);

// year is one in which some of the demo's certificates expire.
const year = () => Number(everything[0].certificateExpirationDateTime.slice(0, 4));

// Steps in the query editor, and the requests they fold into.
for (const [name, options, rows] of [
  ['rows with a text', { $filter: "managedDeviceDisplayName eq 'DESKTOP-00001'" },
    (all) => all.filter((s) => s.managedDeviceDisplayName === 'DESKTOP-00001')],
  ['rows with a choice, sorted', { $filter: `${fleet} and certificateRevokeStatus eq microsoft.graph.certificateRevocationStatus'revoked'`, $orderby: 'certificateExpirationDateTime desc,id' },
    (all) => all.filter((s) => s.certificateRevokeStatus === 'revoked').sort(by('-certificateExpirationDateTime'))],
  ['between two dates', { $filter: () => `${fleet} and certificateExpirationDateTime ge ${year()}-01-01T00:00:00Z and certificateExpirationDateTime lt ${year() + 1}-01-01T00:00:00Z`, $orderby: 'id' },
    (all) => all.filter((s) => s.certificateExpirationDateTime.startsWith(`${year()}-`)).sort(by())],
  ['text functions', { $filter: "contains(certificateSubjectName,'IPHONE') and startswith(userPrincipalName,'mei') or endswith(managedDeviceDisplayName,'7')", $orderby: 'id' },
    (all) => all.filter((s) => s.certificateSubjectName.includes('IPHONE') && s.userPrincipalName.startsWith('mei') || s.managedDeviceDisplayName.endsWith('7')).sort(by())],
  ['parts of dates', { $filter: () => `${fleet} and (year(certificateExpirationDateTime) eq ${year()} or day(certificateExpirationDateTime) lt 7)`, $orderby: 'id' },
    (all) => all.filter(({ certificateExpirationDateTime: at }) => at.startsWith(`${year()}-`) || at.slice(8, 10) < '07').sort(by())],
  ['not empty', { $filter: "(certificateThumbprint ne null and certificateThumbprint ne '') and endswith(userPrincipalName,'@fleet.example')", $orderby: 'id desc' },
    (all) => [...all].sort(by('-id'))],
  ['two keys and a range of rows', { $filter: fleet, $orderby: 'userPrincipalName,certificateIssuerName desc,id', $select: 'id', $skip: '20', $top: '1000' },
    (all) => [...all].sort(by('userPrincipalName', '-certificateIssuerName')).slice(20)],
]) {
  test(`folded: ${name}`, async () => {
    const want = rows(everything);
    assert.ok(want.length > 0);
    const query = Object.entries(options).map(([option, value]) => `${option}=${escape(value.call?.() ?? value)}`).join('&');
    assert.deepEqual(ids(await feed(`${service}${states}?${query}`)), ids(want));
  });
}

test('folded: the functions are those the metadata offers', () => {
  const offered = metadata.match(/FilterFunctions">(.*?)<\/Collection>/s)[1];
  for (const name of ['contains', 'startswith', 'endswith', 'year', 'month', 'tolower']) {
    assert.ok(offered.includes(`<String>${name}</String>`), name);
  }
});

test('folded: grouped rows', async () => {
  const apply = `filter(${fleet})/groupby((certificateRevokeStatus),aggregate($count as Count))`;
  const answer = await get(`${service}${states}?$apply=${escape(apply)}`, later);
  for (const { certificateRevokeStatus, Count } of (await answer.json()).value) {
    assert.equal(Count, everything.filter((s) => s.certificateRevokeStatus === certificateRevokeStatus).length);
  }
});
