-- What makes a network one on several hosts: a tunnel under a number of its own (vxlan), or nothing (local).
ALTER TABLE networks ADD COLUMN network_type TEXT NOT NULL DEFAULT 'local';
ALTER TABLE networks ADD COLUMN segmentation_id BIGINT;
UPDATE networks SET network_type = 'vxlan', segmentation_id =
    (SELECT COUNT(*) FROM networks n
      WHERE n.created_at < networks.created_at OR (n.created_at = networks.created_at AND n.id <= networks.id));
CREATE UNIQUE INDEX networks_segment ON networks (network_type, segmentation_id) WHERE segmentation_id IS NOT NULL;

-- Where other hosts send what they have for networks that both carry. Null: nowhere.
ALTER TABLE hosts ADD COLUMN tunnel_address TEXT;

-- Which hosts carry a network. The network's epoch grows with every change, so that all of them hear of it.
CREATE TABLE network_hosts (
    network_id TEXT NOT NULL REFERENCES networks (id) ON DELETE CASCADE,
    host_id    TEXT NOT NULL REFERENCES hosts (id),
    PRIMARY KEY (network_id, host_id)
);
CREATE INDEX network_hosts_host ON network_hosts (host_id);
