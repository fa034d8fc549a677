-- The checksum of each document's bytes, as they were when its run was read from them: evidence names it, so that a copy of
-- the document can be checked. Null for documents that were read before this was recorded, until they are read again.

alter table ci_runs add column object_sha256 bytea check (octet_length(object_sha256) = 32);
