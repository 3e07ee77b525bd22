-- What people say of a host over the API: hosts.label is theirs, too.
ALTER TABLE hosts ADD COLUMN given_tags TEXT NOT NULL DEFAULT '[]'; -- JSON list; beside the agent's own in tags
-- When an agent first showed a key, Unix seconds. Of those from before nobody wrote it down: a host that was heard had one.
ALTER TABLE agent_keys ADD COLUMN used REAL;
UPDATE agent_keys SET used = created WHERE proven AND host_id IN (SELECT host_id FROM connections);
