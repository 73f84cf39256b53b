//! Rules of the image service.

use super::Rule;

pub const RULES: &[Rule] = &[
    ("add_image", "role:admin or (role:member and project_id:%(project_id)s and project_id:%(owner)s)"),
    ("delete_image", "role:admin or (role:member and project_id:%(project_id)s)"),
    ("get_image", VISIBLE_TO_READERS),
    ("get_images", "role:admin or (role:reader and project_id:%(project_id)s)"),
    ("modify_image", "role:admin or (role:member and project_id:%(project_id)s)"),
    ("publicize_image", "role:admin"),
    ("communitize_image", "role:admin or (role:member and project_id:%(project_id)s)"),
    ("download_image", VISIBLE_TO_MEMBERS),
    ("download_from_store", VISIBLE_TO_MEMBERS),
    ("upload_image", "role:admin or (role:member and project_id:%(project_id)s)"),
    ("add_member", "role:admin or (role:member and project_id:%(project_id)s)"),
    ("delete_member", "role:admin or (role:member and project_id:%(project_id)s)"),
    ("get_member", "role:admin or role:reader and (project_id:%(project_id)s or project_id:%(member_id)s)"),
    ("get_members", "role:admin or role:reader and (project_id:%(project_id)s or project_id:%(member_id)s)"),
    ("modify_member", "role:admin or (role:member and project_id:%(member_id)s)"),
    ("deactivate", "role:admin or (role:member and project_id:%(project_id)s)"),
    ("reactivate", "role:admin or (role:member and project_id:%(project_id)s)"),
    ("copy_image", "role:admin"),
    ("delete_image_location", "role:admin"),
    ("stores_info_detail", "role:admin or role:service"),
    ("tasks_api_access", "role:admin"),
    ("get_metadef_namespaces", "role:admin or (role:reader and project_id:%(project_id)s)"),
    ("modify_metadef_namespace", "role:admin"),
];

const VISIBLE_TO_READERS: &str = "role:admin or (role:reader and (project_id:%(project_id)s or \
     project_id:%(member_id)s or 'community':%(visibility)s or 'public':%(visibility)s or 'shared':%(visibility)s))";

const VISIBLE_TO_MEMBERS: &str = "role:admin or (role:member and (project_id:%(project_id)s or \
     project_id:%(member_id)s or 'community':%(visibility)s or 'public':%(visibility)s or 'shared':%(visibility)s))";
