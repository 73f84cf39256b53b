//! A database made by any earlier version of the schema, with rows in it, becomes the newest without losing one.

use super::*;
use crate::store::testing;
use std::fmt::Write;

/// A row for every table that a migration makes, as a program of that version would have written it.
const ROWS: &[(&str, &[&str])] = &[
    (
        "0001_identity",
        &[
            "INSERT INTO projects (id, is_domain, name, name_key, description, enabled, options, extra, created_at)
             VALUES ('d', 1, 'Default', 'default', '', 1, '{}', '{}', 1)",
            "INSERT INTO projects (id, domain_id, parent_id, is_domain, name, name_key, description, enabled, options, extra,
                                   created_at)
             VALUES ('p', 'd', 'd', 0, 'demo', 'demo', '', 1, '{}', '{}', 1)",
            "INSERT INTO project_tags (project_id, tag) VALUES ('p', 'red')",
            "INSERT INTO users (id, domain_id, name, name_key, enabled, options, extra, failed_logins, created_at)
             VALUES ('u', 'd', 'alice', 'alice', 1, '{}', '{}', 0, 1)",
            "INSERT INTO passwords (id, user_id, hash, self_service, created_at) VALUES ('w', 'u', 'x', 0, 1)",
            "INSERT INTO groups (id, domain_id, name, name_key, description, extra, created_at)
             VALUES ('g', 'd', 'ops', 'ops', '', '{}', 1)",
            "INSERT INTO group_members (group_id, user_id) VALUES ('g', 'u')",
            "INSERT INTO roles (id, name, name_key, options, extra, created_at) VALUES ('r', 'member', 'member', '{}', '{}', 1)",
            "INSERT INTO roles (id, name, name_key, options, extra, created_at) VALUES ('s', 'reader', 'reader', '{}', '{}', 1)",
            "INSERT INTO implied_roles (prior_role_id, implied_role_id) VALUES ('r', 's')",
            "INSERT INTO assignments (role_id, user_id, project_id, is_system, inherited) VALUES ('r', 'u', 'p', 0, 0)",
            "INSERT INTO regions (id, description, extra) VALUES ('one', '', '{}')",
            "INSERT INTO services (id, type, name, enabled, extra) VALUES ('c', 'compute', 'gapura', 1, '{}')",
            "INSERT INTO endpoints (id, service_id, region_id, interface, url, enabled, extra)
             VALUES ('e', 'c', 'one', 'public', 'http://x', 1, '{}')",
            "INSERT INTO revocations (id, audit_id, issued_before, revoked_at, expires_at) VALUES ('v', 'a', 1, 1, 2)",
            "INSERT INTO application_credentials (id, user_id, project_id, name, secret_hash, role_ids, unrestricted,
                                                  created_at)
             VALUES ('a', 'u', 'p', 'robot', 'x', '[]', 0, 1)",
        ],
    ),
    (
        "0002_images",
        &[
            "INSERT INTO blobs (id, store, location, size, md5, sha512, refcount, created_at)
             VALUES ('b', 'file', 'b', 3, 'm', 's', 1, 1)",
            "INSERT INTO image_ids (id) VALUES ('i')",
            "INSERT INTO images (id, owner, name, status, visibility, min_disk, min_ram, protected, os_hidden, size, blob_id,
                                 created_at, updated_at)
             VALUES ('i', 'p', 'cirros', 'active', 'private', 0, 0, 0, 0, 3, 'b', 1, 1)",
            "INSERT INTO image_properties (image_id, name, value) VALUES ('i', 'os_type', 'linux')",
            "INSERT INTO image_tags (image_id, tag) VALUES ('i', 'small')",
            "INSERT INTO image_members (image_id, member, status, created_at, updated_at) VALUES ('i', 'q', 'pending', 1, 1)",
        ],
    ),
    (
        "0003_compute",
        &[
            "INSERT INTO flavors (id, name, vcpus, ram_mib, disk_gib, ephemeral_gib, swap_mib, rxtx_factor, is_public,
                                  disabled, created_at)
             VALUES ('1', 'tiny', 1, 64, 1, 0, 0, '1.0', 1, 0, 1)",
            "INSERT INTO flavor_extra_specs (flavor_id, name, value) VALUES ('1', 'a', 'b')",
            "INSERT INTO flavor_projects (flavor_id, project_id) VALUES ('1', 'p')",
            "INSERT INTO keypairs (user_id, name, type, fingerprint, public_key, number, created_at)
             VALUES ('u', 'k', 'ssh', 'f', 'ssh-rsa', 1, 1)",
            "INSERT INTO hosts (id, name, zone, facts, vcpus, memory_mib, disk_gib, enabled, forced_down, created_at, updated_at)
             VALUES ('h', 'host', 'nova', '{}', 4, 4096, 40, 1, 0, 1, 1)",
            "INSERT INTO servers (id, project_id, user_id, name, hostname, state, power, host_id, flavor, flavor_id,
                                  image_properties, metadata, config_drive, reservation_id, launch_index, scheduler_hints,
                                  access_ip_v4, access_ip_v6, disk_config, progress, created_at, updated_at)
             VALUES ('s', 'p', 'u', 'web', 'web', 'active', 'running', 'h', '{}', '1', '{}', '{}', 1, 'r-1', 0, '{}', '', '',
                     'MANUAL', 0, 1, 1)",
            "INSERT INTO server_tags (server_id, tag) VALUES ('s', 'red')",
            "INSERT INTO server_actions (id, server_id, action, request_id, project_id, user_id, started_at, updated_at)
             VALUES ('a', 's', 'create', 'req-1', 'p', 'u', 1, 1)",
            "INSERT INTO server_events (id, action_id, name, started_at) VALUES ('e', 'a', 'boot', 1)",
            "INSERT INTO claims (server_id, host_id, vcpus, memory_mib, disk_gib, created_at) VALUES ('s', 'h', 1, 64, 1, 1)",
            "INSERT INTO quotas (project_id, resource, maximum) VALUES ('p', 'cores', -1)",
        ],
    ),
    (
        "0004_network",
        &[
            "INSERT INTO networks (id, project_id, name, description, admin_state_up, shared, is_external, status, mtu,
                                   tags, revision, epoch, created_at, updated_at)
             VALUES ('n', 'p', 'net', '', 1, 0, 0, 'ACTIVE', 1500, '[]', 1, 1, 1, 1)",
            "INSERT INTO subnets (id, network_id, project_id, name, description, ip_version, cidr, enable_dhcp,
                                  allocation_pools, dns_nameservers, host_routes, tags, revision, created_at, updated_at)
             VALUES ('t', 'n', 'p', 'sub', '', 4, '10.0.0.0/24', 1, '[]', '[]', '[]', '[]', 1, 1, 1)",
            "INSERT INTO ports (id, network_id, project_id, name, description, mac_address, admin_state_up, status, device_id,
                                device_owner, server_id, position, made_for_server, tags, revision, created_at, updated_at)
             VALUES ('o', 'n', 'p', '', '', 'fa:16:3e:00:00:01', 1, 'ACTIVE', 's', 'compute:nova', 's', 0, 1, '[]', 1, 1, 1)",
            "INSERT INTO allocations (subnet_id, ip_address, port_id) VALUES ('t', '10.0.0.5', 'o')",
        ],
    ),
    ("0005_cloud", &["INSERT INTO cloud (id, created_at) VALUES ('c', 1)"]),
    (
        "0006_tasks",
        &["INSERT INTO tasks (id, kind, step, subject_id, state, epoch, attempts, run_after, cancel, created_at, updated_at)
           VALUES ('t', 'boot', '{}', 's', 'ready', 0, 0, 1, 0, 1, 1)"],
    ),
    (
        "0007_task_reasons",
        &["INSERT INTO tasks (id, kind, step, subject_id, request_id, state, epoch, attempts, run_after, cancel, was_cancelled,
                              created_at, updated_at)
           VALUES ('u', 'boot', '{}', 's', 'req-1', 'undoing', 0, 0, 1, 1, 1, 1, 1)"],
    ),
    (
        "0010_access_rules",
        &[
            "INSERT INTO access_rules (id, user_id, service, method, path, created_at)
             VALUES ('k', 'u', 'compute', 'GET', '/v2.1/**', 1)",
            "INSERT INTO application_credential_rules (application_credential_id, access_rule_id, position)
             VALUES ('a', 'k', 0)",
        ],
    ),
    (
        "0011_trusts",
        &["INSERT INTO trusts (id, trustor_user_id, trustee_user_id, project_id, impersonation, role_ids, extra, created_at)
           VALUES ('t', 'u', 'u', 'p', 0, '[]', '{}', 1)"],
    ),
    (
        "0012_credentials",
        &["INSERT INTO credentials (id, user_id, type, key_id, sealed, extra, totp_window, created_at)
           VALUES ('c', 'u', 'totp', 'k', '', '{}', 0, 1)"],
    ),
    (
        "0020_limits",
        &[
            "INSERT INTO registered_limits (id, service_id, resource_name, default_limit) VALUES ('rl', 'c', 'servers', 10)",
            "INSERT INTO limits (id, registered_limit_id, project_id, resource_limit) VALUES ('l', 'rl', 'p', 20)",
        ],
    ),
    (
        "0021_policies",
        &[
            "INSERT INTO policies (id, type, blob, extra) VALUES ('y', 'application/json', '\"{}\"', '{}')",
            "INSERT INTO policy_associations (id, policy_id, service_id, region_id) VALUES ('a', 'y', 'c', 'one')",
        ],
    ),
    (
        "0022_endpoint_filter",
        &[
            "INSERT INTO project_endpoints (project_id, endpoint_id) VALUES ('p', 'e')",
            "INSERT INTO endpoint_groups (id, name, filters) VALUES ('eg', 'public', '{}')",
            "INSERT INTO project_endpoint_groups (endpoint_group_id, project_id) VALUES ('eg', 'p')",
        ],
    ),
    (
        "0023_domain_config",
        &["INSERT INTO domain_options (domain_id, option_group, option_name, value) VALUES ('d', 'identity', 'driver', '1')"],
    ),
    (
        "0024_identity_changes",
        &["INSERT INTO identity_changes (kind, subject, epoch) VALUES ('user', 'u', 2)"],
    ),
    ("0030_identity_lists", &[]),
    ("0031_logins", &["INSERT INTO nobodys_logins (slot, failed_logins) VALUES (100, 1)"]),
    ("0040_identity_indexes", &[]),
    (
        "0050_image_copies",
        &[
            "INSERT INTO blobs (id, store, location, size, md5, sha512, refcount, created_at)
             VALUES ('c', 'slow', 'c', 3, 'm', 's', 1, 1)",
            "INSERT INTO image_copies (image_id, store, blob_id, is_whole, created_at) VALUES ('i', 'slow', 'c', 1, 1)",
        ],
    ),
    (
        "0051_image_tasks",
        &["INSERT INTO image_tasks (id, type, status, input, result, message, created_at, updated_at)
           VALUES ('t', 'api_image_import', 'pending', '{}', 'null', '', 1, 1)"],
    ),
    (
        "0052_metadefs",
        &[
            "INSERT INTO metadef_namespaces (id, name, visibility, protected, owner, created_at, updated_at)
             VALUES ('m', 'N', 'public', 0, 'p', 1, 1)",
            "INSERT INTO metadef_items (namespace_id, kind, name, name_key, definition, created_at, updated_at)
             VALUES ('m', 'tag', 'T', 't', '{}', 1, 1)",
            "INSERT INTO metadef_resource_types (name, created_at) VALUES ('OS::Glance::Image', 1)",
            "INSERT INTO metadef_associations (namespace_id, resource_type, created_at) VALUES ('m', 'OS::Glance::Image', 1)",
        ],
    ),
    (
        "0054_image_shares",
        &["INSERT INTO image_members (image_id, member, status, expires_at, purpose, created_at, updated_at)
           VALUES ('i', 'for a while', 'pending', 2, 'a course', 1, 1)"],
    ),
    (
        "0055_image_uploads",
        &[
            "INSERT INTO image_uploads (image_id, writer, store, received, expires_at, created_at)
             VALUES ('i', 'w', 'default', 1, 2, 1)",
            "INSERT INTO image_upload_parts (image_id, start, size, file) VALUES ('i', 0, 1, 'w')",
        ],
    ),
    ("0057_image_working", &["INSERT INTO image_working (image_id, blob_id, done) VALUES ('i', 'c', 1)"]),
    (
        "0060_server_groups",
        &[
            "INSERT INTO server_groups (id, project_id, user_id, name, policy, max_per_host, created_at)
             VALUES ('sg', 'p', 'u', 'apart', 'anti-affinity', 2, 1)",
            "INSERT INTO server_group_members (server_id, group_id) VALUES ('s', 'sg')",
        ],
    ),
    (
        "0061_aggregates",
        &[
            "INSERT INTO aggregates (id, uuid, name, created_at) VALUES (7, 'ag', 'racks', 1)",
            "INSERT INTO aggregate_metadata (aggregate_id, name, value) VALUES (7, 'availability_zone', 'east')",
            "INSERT INTO aggregate_hosts (aggregate_id, host_id) VALUES (7, 'h')",
        ],
    ),
    (
        "0062_quota_classes",
        &[
            "INSERT INTO quota_classes (class, resource, maximum) VALUES ('default', 'cores', 40)",
            "INSERT INTO user_quotas (project_id, user_id, resource, maximum) VALUES ('p', 'u', 'cores', 4)",
        ],
    ),
    (
        "0065_server_aside",
        &["INSERT INTO servers (id, project_id, user_id, name, hostname, state, power, host_id, flavor, flavor_id,
                                image_properties, metadata, config_drive, reservation_id, launch_index, scheduler_hints,
                                access_ip_v4, access_ip_v6, disk_config, progress, created_at, updated_at, aside)
           VALUES ('s2', 'p', 'u', 'web', 'web', 'resized', 'running', 'h', '{}', '1', '{}', '{}', 1, 'r-1', 0, '{}', '', '',
                   'MANUAL', 0, 1, 1, '{\"layer\": 1}')"],
    ),
    (
        "0066_server_moves",
        &["INSERT INTO server_moves (id, uuid, server_id, kind, status, source, target, project_id, user_id, created_at,
                                     updated_at)
           VALUES (1, 'm1', 's2', 'resize', 'finished', 'h', 'h', 'p', 'u', 1, 1)"],
    ),
    ("0070_trusted_certificates", &["UPDATE servers SET trusted_certificates = '[\"certificate\"]' WHERE id = 's2'"]),
    ("0075_image_upload_leftovers", &["INSERT INTO image_upload_leftovers (file) VALUES ('gone')"]),
    ("0076_server_blank_disks", &["UPDATE servers SET blank_disks = '[]' WHERE id = 's2'"]),
    ("0080_task_turns", &["UPDATE tasks SET awaits_turn = 1"]),
    ("0084_host_numbers", &["UPDATE host_numbers SET last = last + 1"]),
    ("0085_inventories", &["UPDATE hosts SET failed_builds = 1, inventory = '{\"ratios\": {}}' WHERE id = 'h'"]),
    (
        "0088_nodes",
        &[
            "INSERT INTO nodes (host_id, name, machine, address, certificate, version, joined_at)
             VALUES ('h2', 'two', 'm', '192.0.2.7:5010', 'c', '1', 1)",
            "INSERT INTO node_tokens (digest, expires_at) VALUES ('d', 2)",
        ],
    ),
    (
        "0092_moves_while_running",
        &[
            "UPDATE server_moves SET asked = 'abort', counts = '{}', limits = '{}', plot = '[]', failure = 'why'",
            "INSERT INTO leftovers (server_id, host_id, created_at) VALUES ('s2', 'h', 1)",
        ],
    ),
    (
        "0096_move_totals",
        &["INSERT INTO move_totals (status, moves, elapsed_ms, downtime_ms, memory_bytes, disk_bytes, iterations)
           VALUES ('completed', 1, 1, 1, 1, 1, 1)"],
    ),
    ("0100_server_root_tag", &["UPDATE servers SET root_tag = 'system' WHERE id = 's2'"]),
    (
        "0101_network_segments",
        &[
            "UPDATE networks SET network_type = 'vxlan', segmentation_id = 7",
            "UPDATE hosts SET tunnel_address = '192.0.2.7'",
            "INSERT INTO network_hosts (network_id, host_id) VALUES ('n', 'h')",
        ],
    ),
    ("0102_provider_networks", &["UPDATE hosts SET physical_networks = '[\"physnet1\"]'"]),
    (
        "0108_generations",
        &[
            "UPDATE hosts SET generation = 3 WHERE id = 'h'",
            "UPDATE servers SET claim_generation = 1 WHERE id = 's2'",
        ],
    ),
    ("0111_images_of_a_kind", &["UPDATE images SET updated_at = 2"]),
    (
        "0112_kinds_of_hosts",
        &[
            "INSERT INTO host_kinds (digest, facts, features, traits) VALUES ('k', '{}', '[]', 'HW_CPU_X86_AVX')",
            "UPDATE hosts SET kind = 'k', claims = 1, claimed_vcpus = 1, claimed_memory_mib = 64, claimed_disk_gib = 1",
        ],
    ),
    ("0114_node_versions", &["UPDATE nodes SET protocol = 2, renewed = 'c'"]),
];

fn rows_of(migration: &str) -> &'static [&'static str] {
    let rows = ROWS.iter().find(|(name, _)| *name == migration);
    rows.unwrap_or_else(|| panic!("{migration} has no rows in this test: add one for each of its tables")).1
}

fn fill(tx: &mut Tx, migration: &str) -> Result<()> {
    rows_of(migration).iter().try_for_each(|row| tx.execute(row, args![]).map(drop))
}

/// `table: rows` for each table that the rows were put in.
fn census(tx: &mut Tx, migrations: &[Migration]) -> Result<String> {
    let mut text = String::new();
    for (name, _) in migrations {
        for row in rows_of(name) {
            let at = if row.starts_with("UPDATE") { 1 } else { 2 };
            let table = row.split_whitespace().nth(at).expect("INSERT INTO table, or UPDATE table");
            let count = tx.query(&format!("SELECT COUNT(*) FROM {table}"), args![])?.remove(0).next::<i64>()?;
            writeln!(text, "{table}: {count}").expect("text grows");
        }
    }
    Ok(text)
}

async fn grow_from(db: &Db, version: usize) {
    let (old, new) = ALL.split_at(version);
    apply(db, old).await.unwrap();
    db.write(move |tx| old.iter().try_for_each(|(name, _)| fill(tx, name))).await.unwrap();
    let before = db.read(move |tx| census(tx, old)).await.unwrap();

    let applied = apply(db, ALL).await.unwrap();

    assert_eq!(applied, new.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>());
    assert_eq!(db.read(move |tx| census(tx, old)).await.unwrap(), before);
    db.write(move |tx| new.iter().try_for_each(|(name, _)| fill(tx, name))).await.unwrap();
    assert!(apply(db, ALL).await.unwrap().is_empty());
}

#[tokio::test]
async fn every_earlier_schema_grows_into_the_newest_with_its_rows_on_sqlite() {
    for version in 0..ALL.len() {
        grow_from(&Db::scratch_file(), version).await;
    }
}

#[tokio::test]
async fn every_earlier_schema_grows_into_the_newest_with_its_rows_on_postgres() {
    for version in 0..ALL.len() {
        let Some(db) = testing::bare_postgres("every_earlier_schema_grows_into_the_newest").await else { return };
        grow_from(&db, version).await;
    }
}

async fn tell_reasons_apart(db: &Db) {
    apply(db, &ALL[..6]).await.unwrap();
    let row = |id: &str, state: &str, error: &str| {
        format!(
            "INSERT INTO tasks (id, kind, step, subject_id, state, epoch, attempts, run_after, cancel, error, created_at,
                                updated_at)
             VALUES ('{id}', 'boot', '{{}}', 's', '{state}', 0, 0, 1, 1, {error}, 1, 1)"
        )
    };
    let rows = [
        row("a", "undoing", "'cancelled'"),
        row("b", "undoing", "'the host refused'"),
        row("c", "cancelled", "'cancelled'"),
        row("d", "ready", "NULL"),
    ];
    db.write(move |tx| rows.iter().try_for_each(|row| tx.execute(row, args![]).map(drop))).await.unwrap();
    apply(db, ALL).await.unwrap();
    let query = |tx: &mut Tx| {
        let rows = tx.query("SELECT id, was_cancelled, error FROM tasks ORDER BY id", args![])?;
        rows.into_iter().map(|mut row| Ok((row.next()?, row.next()?, row.next()?))).collect()
    };
    let found: Vec<(String, bool, Option<String>)> = db.read(query).await.unwrap();
    let expected = [("a", true, None), ("b", false, Some("the host refused")), ("c", true, None), ("d", false, None)];
    assert_eq!(found, expected.map(|(id, was, why)| (id.to_owned(), was, why.map(str::to_owned))));
}

#[tokio::test]
async fn tasks_that_said_cancelled_in_their_error_say_it_in_a_column_of_its_own() {
    tell_reasons_apart(&Db::scratch_file()).await;
    if let Some(db) = testing::bare_postgres("tasks_that_said_cancelled_in_their_error").await {
        tell_reasons_apart(&db).await;
    }
}

const BROKEN: &[Migration] = &[
    ("0001_good", "CREATE TABLE good (id BIGINT)"),
    ("0002_bad", "CREATE TABLE half (id BIGINT); CREATE TABLE good (x)"),
];
const MENDED: &[Migration] = &[BROKEN[0], ("0002_bad", "CREATE TABLE half (id BIGINT)")];

async fn break_and_mend(db: &Db) {
    assert!(apply(db, BROKEN).await.is_err());
    assert_eq!(apply(db, MENDED).await.unwrap(), ["0002_bad"], "the first stayed, the second left no trace");
}

#[tokio::test]
async fn a_migration_that_fails_half_way_leaves_no_trace() {
    break_and_mend(&Db::scratch_file()).await;
    if let Some(db) = testing::bare_postgres("a_migration_that_fails_half_way_leaves_no_trace").await {
        break_and_mend(&db).await;
    }
}

async fn race(db: &Db) {
    let runs = futures::future::join_all((0..4).map(|_| apply(db, ALL))).await;
    let mut applied: Vec<String> = runs.into_iter().flat_map(|run| run.unwrap()).collect();
    applied.sort();
    assert_eq!(applied, ALL.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>());
}

#[tokio::test]
async fn processes_that_migrate_at_once_apply_each_step_once() {
    race(&Db::scratch_file()).await;
    if let Some(db) = testing::bare_postgres("processes_that_migrate_at_once_apply_each_step_once").await {
        race(&db).await;
    }
}
