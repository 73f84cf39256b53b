-- A share may end by itself, and may say what it is for.
ALTER TABLE image_members ADD COLUMN expires_at BIGINT;
ALTER TABLE image_members ADD COLUMN purpose TEXT;
CREATE INDEX image_members_expiry ON image_members (expires_at);
-- A page of everything, newest first, is read from here; one of a project's from images_owner and images_visibility.
CREATE INDEX images_created ON images (created_at, id);
