-- The key of the pseudonyms that stand for the people behind CI runs: random, made once, in one row.
--
-- It protects no one from a reader of this database, where the addresses are; it keeps readers of reports from
-- confirming a guessed address.

create table ci_pseudonym_key (
    only_one boolean primary key default true check (only_one),
    -- Two random UUIDs: 244 bits from the system's random numbers.
    key      bytea   not null default uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
);

insert into ci_pseudonym_key default values;
