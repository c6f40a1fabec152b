-- The secondary indexes, a statement a line, made when a database is opened.
-- They are derived data and not frozen: one that is changed or taken out here
-- is rebuilt or dropped. SQLite adds the row's key k to each.
--
-- 8, 16 and 64 are the bits of the properties in absent: the expression is 0
-- for null, so that null sorts before the empty text it is stored as.

CREATE INDEX state_tenant ON state (tenant)
CREATE INDEX state_not_after ON state (tenant, not_after)
CREATE INDEX state_revoke_status ON state (tenant, revoke_status, not_after)
CREATE INDEX state_device_name ON state (tenant, device_name, (8 - (absent & 8)))
CREATE INDEX state_upn ON state (tenant, upn, (16 - (absent & 16)))
CREATE INDEX state_issuer ON state (tenant, issuer, (64 - (absent & 64)))
CREATE INDEX state_thumbprint ON state (tenant, thumbprint_hex)
CREATE INDEX state_serial ON state (tenant, serial_hex)
CREATE INDEX state_serial_dec ON state (tenant, serial_dec) WHERE serial_dec <> ''
CREATE INDEX state_thumbprint_sha256 ON state (tenant, thumbprint_sha256_hex) WHERE thumbprint_sha256_hex <> ''
CREATE INDEX state_device_id ON state (tenant, device_id) WHERE device_id <> ''
CREATE INDEX state_findings ON state (tenant, findings) WHERE findings <> 0
CREATE INDEX past_thumbprint_sha256 ON past (tenant, thumbprint_sha256_hex) WHERE thumbprint_sha256_hex <> ''
CREATE INDEX past_id ON past (part, id, n)
CREATE INDEX past_tenant ON past (tenant, n)
CREATE INDEX once_until ON once (part, until)
CREATE INDEX reported_sha256 ON reported (part, sha256)
CREATE INDEX state_lineage ON state (tenant, lineage, not_before, id) WHERE lineage <> 0
CREATE INDEX state_revisit ON state (tenant, revisit) WHERE revisit <> 0
