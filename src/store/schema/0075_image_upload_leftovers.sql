-- Files of uploads that are over: nobody needs them, and each is deleted with its row as soon as somebody gets to it.
CREATE TABLE image_upload_leftovers (
    file TEXT NOT NULL PRIMARY KEY
);
