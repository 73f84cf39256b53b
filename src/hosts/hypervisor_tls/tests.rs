//! What is kept where libvirt looks, and what is left alone there.

use super::*;
use crate::certificate::Certificate;
use crate::clock::Clock;
use crate::error::Error;
use crate::node::certificates::Purpose;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

struct Machine {
    folder: tempfile::TempDir,
    authorities: Authorities,
    host: HostId,
    now: Timestamp,
}

impl Machine {
    fn new() -> Self {
        let (folder, now) = (tempfile::tempdir().unwrap(), Clock::System.now());
        fs::create_dir_all(folder.path().join("etc/libvirt")).unwrap();
        let authorities = Authorities::load_or_create(&folder.path().join("authority"), "c1", now).unwrap();
        Self { folder, authorities, host: HostId::random(), now }
    }

    fn etc(&self) -> PathBuf {
        self.folder.path().join("etc")
    }

    fn places(&self) -> Vec<Place> {
        vec![Place::of_qemu(&self.etc()), Place::of_libvirtd(&self.etc())]
    }

    fn reached() -> Reached {
        Reached { names: vec!["rack-1".to_owned()], addresses: vec!["192.0.2.7".parse().unwrap()] }
    }

    fn see_to(&self, reached: &Reached, now: Timestamp) -> Vec<String> {
        see_to(&self.places(), reached, self.host, &self.authorities, now).unwrap()
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.etc().join(path)).unwrap()
    }
}

#[test]
fn qemu_and_libvirtd_get_certificates_where_they_look_and_keys_that_are_theirs_alone() {
    let machine = Machine::new();
    let notes = machine.see_to(&Machine::reached(), machine.now);
    let pki = machine.etc().join("pki");
    assert_eq!(
        notes,
        [
            format!("QEMU ({}/qemu) has certificates of this cloud now", pki.display()),
            format!("libvirtd ({}/libvirt) has certificates of this cloud now", pki.display())
        ]
    );
    for place in machine.places() {
        assert_eq!(place.keeper(), Keeper::Gapura);
        let State::Good(ends) = place.state(machine.now) else { panic!("{:?}", place.state(machine.now)) };
        assert!(ends > machine.now.plus_seconds(4 * 365 * 24 * 3600));
        let shown = Certificate::read(place.shown()).unwrap();
        assert_eq!(shown.names, [place.purpose.role(machine.host), "rack-1".to_owned()]);
        assert_eq!(shown.addresses, Machine::reached().addresses);
    }
    for key in
        ["qemu/server-key.pem", "qemu/client-key.pem", "libvirt/private/serverkey.pem", "libvirt/private/clientkey.pem"]
    {
        assert_eq!(fs::metadata(pki.join(key)).unwrap().mode() & 0o777, 0o600, "{key}");
    }
    assert_ne!(machine.read("pki/qemu/server-key.pem"), machine.read("pki/libvirt/private/serverkey.pem"));
    assert_ne!(machine.read("pki/qemu/ca-cert.pem"), machine.read("pki/CA/cacert.pem"));
    // Asked again, nothing is left to do.
    assert_eq!(machine.see_to(&Machine::reached(), machine.now), Vec::<String>::new());
}

#[test]
fn certificates_are_renewed_before_they_end_and_when_a_machine_has_another_address_and_the_key_stays() {
    let machine = Machine::new();
    machine.see_to(&Machine::reached(), machine.now);
    let (certificate, key) = (machine.read("pki/qemu/server-cert.pem"), machine.read("pki/qemu/server-key.pem"));
    let day = |days: i64| machine.now.plus_seconds(days * 24 * 3600);
    assert!(machine.see_to(&Machine::reached(), day(3 * 365)).is_empty(), "there is time");
    assert_eq!(machine.see_to(&Machine::reached(), day(4 * 365)).len(), 2);
    let renewed = machine.read("pki/qemu/server-cert.pem");
    assert_ne!(renewed, certificate);
    assert_eq!(renewed, machine.read("pki/qemu/client-cert.pem"));
    assert_eq!(machine.read("pki/qemu/server-key.pem"), key);
    assert!(matches!(machine.places()[0].state(day(8 * 365)), State::Good(_)));

    let moved = Reached { addresses: vec!["192.0.2.8".parse().unwrap()], ..Machine::reached() };
    assert_eq!(machine.see_to(&moved, day(4 * 365)).len(), 2);
    assert_eq!(Certificate::read(machine.places()[0].shown()).unwrap().addresses, moved.addresses);
}

#[test]
fn an_operator_s_own_certificates_are_left_alone_wherever_libvirt_is_told_to_find_them() {
    let machine = Machine::new();
    let theirs = machine.etc().join("pki/qemu/ca-cert.pem");
    fs::create_dir_all(theirs.parent().unwrap()).unwrap();
    fs::write(&theirs, "theirs").unwrap();
    fs::write(machine.etc().join("libvirt/libvirtd.conf"), "#ca_file = \"/a\"\nkey_file = \"/k.pem\"\n").unwrap();
    let notes = machine.see_to(&Machine::reached(), machine.now);
    assert_eq!(notes.iter().filter(|note| note.ends_with("has an operator's own certificates, which stay")).count(), 2);
    assert_eq!(fs::read_dir(theirs.parent().unwrap()).unwrap().count(), 1);
    assert!(!machine.etc().join("pki/libvirt").exists());

    // They may also be elsewhere, by name or because that folder is there.
    let elsewhere = |conf: &str| {
        fs::write(machine.etc().join("libvirt/qemu.conf"), conf).unwrap();
        Place::of_qemu(&machine.etc()).shown().display().to_string()
    };
    assert_eq!(elsewhere("default_tls_x509_cert_dir = \"/d\"\n"), "/d/server-cert.pem");
    assert_eq!(
        elsewhere("migrate_tls_x509_cert_dir=\"/m\" # ours\ndefault_tls_x509_cert_dir = \"/d\"\n"),
        "/m/server-cert.pem"
    );
    fs::create_dir_all(machine.etc().join("pki/libvirt-migrate")).unwrap();
    assert!(elsewhere("default_tls_x509_cert_dir = \"/d\"\n").ends_with("pki/libvirt-migrate/server-cert.pem"));
}

#[test]
fn what_ended_is_missing_open_unreadable_or_does_not_fit_is_found() {
    let machine = Machine::new();
    machine.see_to(&Machine::reached(), machine.now);
    let state = || machine.places()[0].state(machine.now);
    let qemu = machine.etc().join("pki/qemu");
    let later = machine.now.plus_seconds(6 * 365 * 24 * 3600);
    assert!(matches!(machine.places()[0].state(later), State::Ended(_)));
    let nearly = machine.now.plus_seconds((5 * 365 - 9) * 24 * 3600);
    assert!(matches!(machine.places()[0].state(nearly), State::EndsSoon(_)));

    let key = qemu.join("server-key.pem");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o604)).unwrap();
    assert_eq!(state(), State::Open(key.clone()));
    let other = OwnPlace::of_somebody_else(&qemu);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(matches!(other.state(machine.now), State::Unreadable(_)), "{:?}", other.state(machine.now));

    let good = machine.read("pki/qemu/server-key.pem");
    fs::write(&key, machine.read("pki/libvirt/private/serverkey.pem")).unwrap();
    assert!(matches!(state(), State::Wrong(why) if why.contains("is not for")));
    fs::write(&key, good).unwrap();
    let authority = machine.read("pki/qemu/ca-cert.pem");
    fs::write(qemu.join("ca-cert.pem"), machine.read("pki/CA/cacert.pem")).unwrap();
    assert!(matches!(state(), State::Wrong(why) if why.contains("another authority")));
    fs::write(qemu.join("ca-cert.pem"), authority).unwrap();
    assert!(matches!(state(), State::Good(_)));
    fs::remove_file(qemu.join("client-cert.pem")).unwrap();
    assert_eq!(state(), State::Missing(qemu.join("client-cert.pem")));
    machine.see_to(&Machine::reached(), machine.now);
    assert!(matches!(state(), State::Good(_)), "what went missing comes back");
}

/// The same folder, read by a user who has nothing to do with it.
struct OwnPlace;

impl OwnPlace {
    fn of_somebody_else(folder: &Path) -> Place {
        let etc = tempfile::tempdir().unwrap();
        fs::create_dir_all(etc.path().join("libvirt")).unwrap();
        fs::write(etc.path().join("libvirt/qemu.conf"), "user = \"+54321\"\n").unwrap();
        Place::for_qemu(folder, User::of_qemu(etc.path()))
    }
}

#[test]
fn a_certificate_for_another_key_is_not_kept() {
    let (machine, other) = (Machine::new(), Machine::new());
    let (place, theirs) = (machine.places().remove(0), other.places().remove(0));
    let wanted = theirs.wanted(&Machine::reached(), false, machine.now).unwrap().unwrap();
    assert_eq!(wanted.purpose, Purpose::Migration);
    let asker = Asker { id: machine.host, at: None, others: Vec::new() };
    let granted = machine.authorities.grant(&asker, &wanted, machine.now).unwrap();
    assert!(matches!(place.keep(&granted), Err(Error::BadRequest(_))));
    assert!(!place.shown().exists());
}

#[test]
fn qemu_s_user_is_as_libvirt_s_settings_say_or_what_distributions_call_it() {
    let machine = Machine::new();
    let etc = machine.etc();
    assert_eq!(User::of_qemu(&etc), User::root());
    fs::write(etc.join("passwd"), "root:x:0:0::/:\nqemu:x:107:107::/:\nme:x:1000:1000::/:\n").unwrap();
    fs::write(etc.join("group"), "kvm:x:36:qemu,me\n").unwrap();
    assert_eq!((User::of_qemu(&etc).name.as_str(), User::of_qemu(&etc).id), ("qemu", 107));
    fs::write(etc.join("libvirt/qemu.conf"), "#user = \"x\"\n user = \"me\"\n").unwrap();
    assert_eq!(User::of_qemu(&etc).id, 1000);
    fs::write(etc.join("libvirt/qemu.conf"), "user = \"+107\"\n").unwrap();
    assert_eq!(User::of_qemu(&etc).name, "qemu");
}
