-- Certificates, and what they say of themselves. A certificate is kept once for
-- all records and their versions; a record that has one has its SHA-256 in
-- thumbprint_sha256_hex.

CREATE TABLE certificate (
  part   bigint NOT NULL,
  tenant bigint NOT NULL,
  sha256 text   NOT NULL, -- of der, in lower-case hexadecimal
  der    blob   NOT NULL,
  PRIMARY KEY (part, sha256)
);

ALTER TABLE state ADD COLUMN san                 text   NOT NULL DEFAULT '';
ALTER TABLE state ADD COLUMN aki                 text   NOT NULL DEFAULT '';
ALTER TABLE state ADD COLUMN ski                 text   NOT NULL DEFAULT '';
ALTER TABLE state ADD COLUMN key_type            text   NOT NULL DEFAULT '';
ALTER TABLE state ADD COLUMN key_size            bigint NOT NULL DEFAULT 0; -- bits
ALTER TABLE state ADD COLUMN signature_algorithm text   NOT NULL DEFAULT '';
ALTER TABLE state ADD COLUMN crl_locations       text   NOT NULL DEFAULT '';
ALTER TABLE state ADD COLUMN ocsp_locations      text   NOT NULL DEFAULT '';
ALTER TABLE state ADD COLUMN issuer_locations    text   NOT NULL DEFAULT '';
ALTER TABLE state ADD COLUMN findings            bigint NOT NULL DEFAULT 0; -- certstate.Findings
UPDATE state SET absent = absent | 1072693248, digest = 0; -- 2^20 to 2^29: the certificate, and all but the findings; rows changed so have no digest

ALTER TABLE past ADD COLUMN san                 text   NOT NULL DEFAULT '';
ALTER TABLE past ADD COLUMN aki                 text   NOT NULL DEFAULT '';
ALTER TABLE past ADD COLUMN ski                 text   NOT NULL DEFAULT '';
ALTER TABLE past ADD COLUMN key_type            text   NOT NULL DEFAULT '';
ALTER TABLE past ADD COLUMN key_size            bigint NOT NULL DEFAULT 0;
ALTER TABLE past ADD COLUMN signature_algorithm text   NOT NULL DEFAULT '';
ALTER TABLE past ADD COLUMN crl_locations       text   NOT NULL DEFAULT '';
ALTER TABLE past ADD COLUMN ocsp_locations      text   NOT NULL DEFAULT '';
ALTER TABLE past ADD COLUMN issuer_locations    text   NOT NULL DEFAULT '';
ALTER TABLE past ADD COLUMN findings            bigint NOT NULL DEFAULT 0;
UPDATE past SET absent = absent | 1072693248, digest = 0;
