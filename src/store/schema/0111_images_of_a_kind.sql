-- A project's own images of one visibility in their order, however many of another it has.
CREATE INDEX images_owner_visibility ON images (owner, visibility, created_at, id);
