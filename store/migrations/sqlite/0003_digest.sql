-- A digest of each row, by which "certstate check" finds a value that the disk
-- changed: digest.go says of what. 0 is none: the row is from before.

ALTER TABLE state  ADD COLUMN digest bigint NOT NULL DEFAULT 0;
ALTER TABLE past   ADD COLUMN digest bigint NOT NULL DEFAULT 0;
ALTER TABLE change ADD COLUMN digest bigint NOT NULL DEFAULT 0;
ALTER TABLE seq    ADD COLUMN digest bigint NOT NULL DEFAULT 0; -- of floor and floor_at: check finds out about the others
