-- Certificates, and what they say of themselves, as schema 5 of SQLite has them.

CREATE TABLE certificate (
  part   bigint NOT NULL,
  tenant bigint NOT NULL,
  sha256 text COLLATE "C" NOT NULL, -- of der, in lower-case hexadecimal
  der    bytea  NOT NULL,
  PRIMARY KEY (part, sha256)
) /*PARTITION BY HASH (part)*/;

ALTER TABLE state ADD COLUMN san                 text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE state ADD COLUMN aki                 text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE state ADD COLUMN ski                 text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE state ADD COLUMN key_type            text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE state ADD COLUMN key_size            bigint NOT NULL DEFAULT 0; -- bits
ALTER TABLE state ADD COLUMN signature_algorithm text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE state ADD COLUMN crl_locations       text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE state ADD COLUMN ocsp_locations      text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE state ADD COLUMN issuer_locations    text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE state ADD COLUMN findings            bigint NOT NULL DEFAULT 0; -- certstate.Findings
UPDATE state SET absent = absent | 1072693248, digest = 0; -- 2^20 to 2^29: the certificate, and all but the findings; rows changed so have no digest

ALTER TABLE past ADD COLUMN san                 text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE past ADD COLUMN aki                 text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE past ADD COLUMN ski                 text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE past ADD COLUMN key_type            text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE past ADD COLUMN key_size            bigint NOT NULL DEFAULT 0;
ALTER TABLE past ADD COLUMN signature_algorithm text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE past ADD COLUMN crl_locations       text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE past ADD COLUMN ocsp_locations      text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE past ADD COLUMN issuer_locations    text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE past ADD COLUMN findings            bigint NOT NULL DEFAULT 0;
UPDATE past SET absent = absent | 1072693248, digest = 0;
