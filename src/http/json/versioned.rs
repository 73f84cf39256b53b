//! `versioned!`: a body with field lifetimes, declared once.

/// Declares a request or response body; [`crate::http::json`] explains the words.
#[macro_export]
macro_rules! versioned {
    (
        $(#[$meta:meta])*
        response $name:ident {
            $($(#[$field_meta:meta])* $key:literal $($word:ident $(($n:literal))?)* => $field:ident: $type:ty),* $(,)?
            $(; flatten => $extra:ident)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $type,)*
            $(pub $extra: $crate::http::json::Map,)?
        }

        impl $crate::http::json::View for $name {
            fn view<S: ::serde::Serializer>(
                &self,
                version: $crate::http::microversion::Microversion,
                serializer: S,
            ) -> ::std::result::Result<S::Ok, S::Error> {
                use ::serde::ser::SerializeMap as _;
                let mut map = serializer.serialize_map(None)?;
                $({
                    const FIELD: $crate::http::json::Field = $crate::http::json::Field::new($key)$(.$word($($n)?))*;
                    const OPTIONAL: bool = $crate::versioned!(@optional $($word)*);
                    if FIELD.lifetime.holds_at(version)
                        && !(OPTIONAL && $crate::http::json::View::is_absent(&self.$field))
                    {
                        map.serialize_entry($key, &$crate::http::json::At(&self.$field, version))?;
                    }
                })*
                $(for (key, value) in &self.$extra {
                    map.serialize_entry(key, value)?;
                })?
                map.end()
            }

            fn schema(version: $crate::http::microversion::Microversion) -> ::serde_json::Value {
                let fields = [$((
                    $crate::http::json::Field::new($key)$(.$word($($n)?))*,
                    <$type as $crate::http::json::View>::schema(version),
                )),*];
                $crate::http::json::object_schema(&fields, $crate::versioned!(@closed $($extra)?), version)
            }

            fn boundaries(into: &mut ::std::vec::Vec<u16>) {
                $(
                    $crate::http::json::Field::new($key)$(.$word($($n)?))*.boundaries(into);
                    <$type as $crate::http::json::View>::boundaries(into);
                )*
            }
        }
    };
    (
        $(#[$meta:meta])*
        request $name:ident $strict:ident {
            $($(#[$field_meta:meta])* $key:literal $($word:ident $(($n:literal))?)* => $field:ident: $type:ty),* $(,)?
            $(; flatten => $extra:ident)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $type,)*
            $(pub $extra: $crate::http::json::Map,)?
        }

        impl $crate::http::json::Parse for $name {
            fn parse(
                value: ::serde_json::Value,
                path: &$crate::http::json::Path<'_>,
                version: $crate::http::microversion::Microversion,
            ) -> ::std::result::Result<Self, $crate::http::json::Invalid> {
                let ::serde_json::Value::Object(mut map) = value else {
                    return Err(path.wrong_type(&value, "object"));
                };
                const FIELDS: &[$crate::http::json::Field] =
                    &[$($crate::http::json::Field::new($key)$(.$word($($n)?))*),*];
                $crate::http::json::check_keys(&map, FIELDS, $crate::versioned!(@strict $strict $($extra)?), path, version)?;
                let parsed = Self {
                    $($field: $crate::http::json::take_field::<$type>(
                        &mut map,
                        &const { $crate::http::json::Field::new($key)$(.$word($($n)?))* },
                        path,
                        version,
                    )?,)*
                    $($extra: ::std::mem::take(&mut map),)?
                };
                Ok(parsed)
            }

            fn schema(version: $crate::http::microversion::Microversion) -> ::serde_json::Value {
                let fields = [$((
                    $crate::http::json::Field::new($key)$(.$word($($n)?))*,
                    <$type as $crate::http::json::Parse>::schema(version),
                )),*];
                $crate::http::json::object_schema(&fields, $crate::versioned!(@strict $strict $($extra)?), version)
            }

            fn boundaries(into: &mut ::std::vec::Vec<u16>) {
                $(
                    $crate::http::json::Field::new($key)$(.$word($($n)?))*.boundaries(into);
                    <$type as $crate::http::json::Parse>::boundaries(into);
                )*
            }
        }

        impl $crate::http::call::FromBody for $name {
            const LIMIT: usize = $crate::http::call::JSON_LIMIT;

            fn from_bytes(
                bytes: &[u8],
                version: $crate::http::microversion::Microversion,
            ) -> ::std::result::Result<Self, $crate::http::call::BodyFault> {
                $crate::http::call::parse_json(bytes, version)
            }

            fn schema(version: $crate::http::microversion::Microversion) -> ::std::option::Option<::serde_json::Value> {
                Some(<Self as $crate::http::json::Parse>::schema(version))
            }

            fn boundaries(into: &mut ::std::vec::Vec<u16>) {
                <Self as $crate::http::json::Parse>::boundaries(into);
            }
        }
    };
    (@optional) => { false };
    (@optional optional $($rest:ident)*) => { true };
    (@optional $other:ident $($rest:ident)*) => { $crate::versioned!(@optional $($rest)*) };
    (@closed) => { true };
    (@closed $extra:ident) => { false };
    (@strict strict) => { true };
    (@strict open) => { false };
    (@strict $any:ident $extra:ident) => { false };
}
