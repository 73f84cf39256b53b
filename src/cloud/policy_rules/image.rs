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
    ("cache_image", "role:admin"),
    ("cache_list", "role:admin"),
    ("cache_delete", "role:admin"),
    ("cache_clean", "role:admin"),
    ("cache_prune", "role:admin"),
    ("list_cached_nodes", "role:admin"),
    ("metadef_default", ""),
    ("metadef_admin", "role:admin"),
    ("get_metadef_namespace", NAMESPACE),
    ("get_metadef_namespaces", "role:admin or (role:reader and project_id:%(project_id)s)"),
    ("modify_metadef_namespace", METADEF_ADMIN),
    ("add_metadef_namespace", METADEF_ADMIN),
    ("delete_metadef_namespace", METADEF_ADMIN),
    ("get_metadef_object", NAMESPACE),
    ("get_metadef_objects", NAMESPACE),
    ("modify_metadef_object", METADEF_ADMIN),
    ("add_metadef_object", METADEF_ADMIN),
    ("delete_metadef_object", METADEF_ADMIN),
    ("list_metadef_resource_types", NAMESPACE),
    ("get_metadef_resource_type", NAMESPACE),
    ("add_metadef_resource_type_association", METADEF_ADMIN),
    ("remove_metadef_resource_type_association", METADEF_ADMIN),
    ("get_metadef_property", NAMESPACE),
    ("get_metadef_properties", NAMESPACE),
    ("modify_metadef_property", METADEF_ADMIN),
    ("add_metadef_property", METADEF_ADMIN),
    ("remove_metadef_property", METADEF_ADMIN),
    ("get_metadef_tag", NAMESPACE),
    ("get_metadef_tags", NAMESPACE),
    ("modify_metadef_tag", METADEF_ADMIN),
    ("add_metadef_tag", METADEF_ADMIN),
    ("add_metadef_tags", METADEF_ADMIN),
    ("delete_metadef_tag", METADEF_ADMIN),
    ("delete_metadef_tags", METADEF_ADMIN),
];

const VISIBLE_TO_READERS: &str = "role:admin or (role:reader and (project_id:%(project_id)s or \
     project_id:%(member_id)s or 'community':%(visibility)s or 'public':%(visibility)s or 'shared':%(visibility)s))";

const VISIBLE_TO_MEMBERS: &str = "role:admin or (role:member and (project_id:%(project_id)s or \
     project_id:%(member_id)s or 'community':%(visibility)s or 'public':%(visibility)s or 'shared':%(visibility)s))";

const METADEF_ADMIN: &str = "rule:metadef_admin";
const NAMESPACE: &str = "role:admin or (role:reader and (project_id:%(project_id)s or 'public':%(visibility)s))";
