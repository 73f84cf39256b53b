//! What a server, its machine and its rows are looked over for, once work on it is over.

use super::*;
use crate::disks::Part;

impl Place {
    /// The host that has the machine, or the first.
    pub(super) fn at(&self, id: ServerId) -> &crate::api::testing::SimulatedHost {
        let hosts = &self.site.cloud.hosts;
        hosts.iter().find(|host| host.hypervisor.spec(id).is_some()).unwrap_or(&hosts[0])
    }

    /// It runs, has never begun anew, and no other host has or holds anything of it.
    pub(super) async fn is_on_one_host(&self, id: ServerId) {
        self.is_only_here(id, 192).await;
        assert_eq!(self.at(id).hypervisor.boots(id), 1);
    }

    /// It runs with so much memory, and no other host has or holds anything of it.
    pub(super) async fn is_only_here(&self, id: ServerId, memory: i64) {
        self.runs_once(id).await;
        let here = self.at(id);
        for other in self.site.cloud.hosts.iter().filter(|host| host.id != here.id) {
            assert!(other.hypervisor.spec(id).is_none() && other.disks.root(id).is_none(), "{}", other.name);
            assert!(other.disks.config_drive(id).is_none(), "{}", other.name);
            assert!(other.fabric.wish(self.site.network).is_none(), "{}", other.name);
        }
        let held = move |tx: &mut crate::store::Tx| {
            let rows = tx.query("SELECT host_id, memory_mib FROM claims WHERE server_id = ?1", args![id])?;
            rows.into_iter().map(|mut row| Ok((row.next()?, row.next()?))).collect()
        };
        let held: Vec<(crate::ids::HostId, i64)> = self.site.cloud.state.db.read(held).await.unwrap();
        assert_eq!(held, [(here.id, memory)]);
        let shown = self.site.cloud.admin().await.get(&format!("{PATH}/servers/{id}")).await.json();
        assert_eq!(shown["server"]["OS-EXT-SRV-ATTR:host"], json!(here.name));
    }

    /// It has left its host for the other one, holds its place on both, and can go back: the first has its disks, and no
    /// machine.
    pub(super) async fn may_go_back(&self, id: ServerId, memory: i64) {
        assert_eq!(self.is_as_its_host_says(id).await["status"], "VERIFY_RESIZE");
        let [old, new] = &self.site.cloud.hosts[..] else { panic!("two hosts") };
        assert_eq!(self.at(id).id, new.id);
        assert!(old.hypervisor.spec(id).is_none(), "one machine");
        assert!(old.disks.root(id).is_some() && old.disks.read(id) == new.disks.read(id));
        assert!(old.fabric.wish(self.site.network).is_none(), "its network left with it");
        let held = [("host-1".to_owned(), 192), ("host-2".to_owned(), memory)];
        assert_eq!(super::super::resize::claims(&self.site, id).await, held);
        self.has_the_disks_of_its_flavor(id).await;
    }

    pub(super) async fn observed(&self, id: ServerId) -> Observed {
        self.at(id).hypervisor.find(id).await.unwrap().map_or(Observed::Unknown, |machine| machine.power)
    }

    /// No work is said to go on, and power is what the host says.
    pub(super) async fn is_as_its_host_says(&self, id: ServerId) -> Value {
        let server = show(&self.alice, id).await;
        assert_eq!(server["OS-EXT-STS:task_state"], json!(null), "{server}");
        let row = move |tx: &mut crate::store::Tx| servers::get(tx, &crate::cloud::policy::Reach::Cloud, id);
        let row = self.site.cloud.state.db.read(row).await.unwrap();
        assert_eq!(row.power, word(self.observed(id).await));
        server
    }

    pub(super) async fn runs_once(&self, id: ServerId) {
        let server = self.is_as_its_host_says(id).await;
        assert_eq!(server["status"], "ACTIVE", "{server}");
        assert_eq!(server["addresses"]["private"].as_array().map(Vec::len), Some(1), "one address: {server}");
        let specs: Vec<_> = self.site.cloud.hosts.iter().filter_map(|host| host.hypervisor.spec(id)).collect();
        assert_eq!(specs.len(), 1);
        let spec = &specs[0];
        assert_eq!((spec.interfaces.len(), spec.disks.len()), (1, 4), "its own, ephemeral, swap, config drive");
        self.has_the_disks_of_its_flavor(id).await;
        let wish = self.at(id).fabric.wish(self.site.network).unwrap();
        assert_eq!(wish.ports.len(), 1, "the network carries its one port");
    }

    /// Ephemeral disk and swap are as large as the server's flavor says, and nothing of another flavor's is there.
    pub(super) async fn has_the_disks_of_its_flavor(&self, id: ServerId) {
        let row = move |tx: &mut crate::store::Tx| servers::get(tx, &crate::cloud::policy::Reach::Cloud, id);
        let row = self.site.cloud.state.db.read(row).await.unwrap();
        let sizes: Vec<u64> = row.blank_disks.iter().map(|disk| disk.size).collect();
        assert_eq!(sizes, [row.flavor.ephemeral_gib << 30, row.flavor.swap_mib << 20]);
        let blanks = self.at(id).disks.blanks(id);
        let ephemeral = |layer| blanks.iter().find(|wish| wish.part == Part::Ephemeral { index: 0, layer });
        let top = row.aside.layer;
        assert_eq!(ephemeral(top).map(|wish| wish.size), Some(sizes[0]), "{blanks:?}");
        assert_eq!(ephemeral(top + 1), None);
        let swap = row.blank_disks[1].first_layer;
        let found = blanks.iter().find(|wish| wish.part == Part::Swap { layer: swap });
        assert_eq!(found.map(|wish| wish.size), Some(sizes[1]), "{blanks:?}");
        assert!(!blanks.iter().any(|wish| wish.part == Part::Swap { layer: top + 1 }));
    }

    pub(super) fn memory(&self, id: ServerId) -> u64 {
        self.at(id).hypervisor.spec(id).map_or(0, |spec| spec.memory_mib)
    }

    /// The server is what the rebuild made of it: running, or off as it was.
    pub(super) async fn has_disk_of(&self, id: ServerId, image: ImageId) {
        let server = self.is_as_its_host_says(id).await;
        assert!(server["status"] == "ACTIVE" || server["status"] == "SHUTOFF", "{server}");
        assert_eq!((&server["name"], &server["image"]["id"]), (&json!("again"), &json!(image.to_string())));
        let sha512 = hex::encode(Sha512::digest(b"the bytes of another disk"));
        assert_eq!(self.site.cloud.disks.root(id).unwrap().base.sha512, sha512);
        let drive = self.site.cloud.disks.config_drive(id).unwrap();
        let (_, meta) = drive.files.iter().find(|(path, _)| path == "openstack/latest/meta_data.json").unwrap();
        assert_eq!(serde_json::from_slice::<Value>(meta).unwrap()["name"], "again");
        assert_eq!(server["addresses"]["private"].as_array().map(Vec::len), Some(1), "one address: {server}");
    }

    /// Restored, it runs from its own disk and holds what its flavor says; what never ran, or is on no host, is gone.
    pub(super) async fn comes_back(&self, id: ServerId) {
        let shown = self.alice.get(&format!("{PATH}/servers/{id}")).await;
        if shown.status == 404 {
            return self.is_gone(id).await;
        }
        assert_eq!(self.is_as_its_host_says(id).await["status"], "SOFT_DELETED");
        order(&self.alice, id, Power::Restore).await;
        self.site.cloud.work().await;
        self.runs_once(id).await;
        let disks = &self.at(id).disks;
        assert!(!disks.has_copy(id) && disks.rescue(id).is_none(), "nothing of what was called off is on the host");
        let row = move |tx: &mut crate::store::Tx| servers::get(tx, &crate::cloud::policy::Reach::Cloud, id);
        let row = self.site.cloud.state.db.read(row).await.unwrap();
        assert_eq!(row.aside, servers::Aside { layer: row.aside.layer, ..servers::Aside::default() });
        let memory = i64::try_from(row.flavor.ram_mib).unwrap();
        assert_eq!((self.memory(id), claimed(&self.site, id).await), (row.flavor.ram_mib, memory));
        let disk = row.flavor.disk_gib << 30;
        assert_eq!(self.at(id).disks.root(id).unwrap().virtual_size, disk);
    }

    /// How many images there are of the server's disk.
    pub(super) async fn own_images(&self, id: ServerId) -> usize {
        let path = format!("/image/v2/images?instance_uuid={id}");
        self.alice.get(&path).await.json()["images"].as_array().unwrap().len()
    }

    /// An image holds its disk; on its host it is off, or nothing of it is there.
    pub(super) async fn is_shelved(&self, id: ServerId) {
        let server = show(&self.alice, id).await;
        assert_eq!(server["OS-EXT-STS:task_state"], json!(null), "{server}");
        assert_eq!(server["addresses"]["private"].as_array().map(Vec::len), Some(1), "its address: {server}");
        assert_eq!(self.own_images(id).await, 1);
        assert!(!self.site.cloud.disks.has_copy(id));
        if server["status"] == "SHELVED" {
            assert_eq!(self.observed(id).await, Observed::Shutdown);
            assert_eq!(claimed(&self.site, id).await, 192);
            return;
        }
        assert_eq!((&server["status"], &server["hostId"]), (&json!("SHELVED_OFFLOADED"), &json!("")));
        let cloud = &self.site.cloud;
        assert!(cloud.hypervisor.spec(id).is_none() && cloud.disks.root(id).is_none(), "nothing is on the host");
        assert!(cloud.fabric.wish(self.site.network).is_none(), "nor its network");
        assert_eq!(claimed(&self.site, id).await, 0);
    }

    pub(super) async fn force_delete(&self, id: ServerId) {
        assert_eq!(act(&self.alice, id, json!({"forceDelete": null})).await.status, 202);
        self.site.cloud.work().await;
        self.is_gone(id).await;
    }

    pub(super) async fn delete_again(&self, id: ServerId) {
        assert_eq!(self.alice.delete(&format!("{PATH}/servers/{id}")).await.status, 204);
        self.site.cloud.work().await;
        self.is_gone(id).await;
    }

    pub(super) async fn is_gone(&self, id: ServerId) {
        if matches!(self.subject, Subject::Shelve(_) | Subject::Unshelve(_)) {
            assert_eq!(self.own_images(id).await, 0, "an image that only held its disk goes with it");
        }
        assert_eq!(self.alice.get(&format!("{PATH}/servers/{id}")).await.status, 404);
        assert_nothing_left(&self.site, id).await;
    }

    /// A way back that failed can be gone again where the server still has what it was to leave; else a hard reboot starts it.
    pub(super) async fn can_be_had_back(&self, id: ServerId, status: &str, action: &str) {
        let server = self.is_as_its_host_says(id).await;
        if server["status"] == status {
            assert_eq!(act(&self.alice, id, json!({action: null})).await.status, 202);
        } else {
            assert_eq!(server["status"], "ERROR", "{server}");
            order(&self.alice, id, Power::Reset).await;
        }
        self.site.cloud.work().await;
    }
}
