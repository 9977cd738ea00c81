//! The options of routes that serve files.

use std::sync::Arc;

use super::http::{HttpBuilder, rewrite};
use crate::config::{self, Listener, Route};
use crate::server::StartError;
use crate::service::http::files::FileRules;
use crate::service::http::files::coding::Coding;
use crate::service::http::files::types::ContentTypes;
use crate::session::http_options::FilesOptions;

impl HttpBuilder<'_> {
    /// The options of a route that serves files.
    pub(super) fn files(
        &mut self,
        listener: &Listener,
        route: &Route,
        files: &config::FilesOptions,
    ) -> Result<FilesOptions, StartError> {
        let failed = |source| StartError::Files {
            listener: listener.name.clone(),
            path: files.root.clone(),
            source,
        };
        let (root, cache) = self.routes.folder(listener, route, files).map_err(failed)?;
        self.folders.push(cache.number());
        let text = |text: &String| -> Box<str> { text.as_str().into() };
        Ok(FilesOptions {
            root,
            rules: FileRules {
                dot_files: files.dot_files,
                cache_control: files.cache_control.as_ref().map(text),
                cache_control_by: files
                    .cache_control_by
                    .iter()
                    .map(|(pattern, value)| (text(pattern), text(value)))
                    .collect(),
                precompressed: files.precompressed.iter().map(|one| coding(*one)).collect(),
            },
            below: match &route.path {
                config::PathPattern::Prefix(prefix) if prefix.ends_with('/') => Some(text(prefix)),
                config::PathPattern::Prefix(_)
                | config::PathPattern::Any
                | config::PathPattern::Exact(_)
                | config::PathPattern::Regex(_) => None,
            },
            index: files.index.clone(),
            attempts: files.try_files.clone(),
            types: Arc::new(ContentTypes::new(
                files.content_types.iter().map(|(end, kind)| (end.as_str(), kind.as_str())),
                &files.default_type,
            )),
            listing: files.listing,
            follow_symlinks: files.symlinks == config::Symlinks::Beneath,
            rewrite: rewrite(route),
            cache_entries: files.cache_entries as usize,
            cache_ttl: files.cache_ttl,
            small_max: files.small_file_max.into(),
            error_pages: files
                .error_pages
                .iter()
                .map(|(status, path)| (*status, path.trim_start_matches('/').to_owned()))
                .collect(),
            cache,
        })
    }
}

const fn coding(coding: config::Coding) -> Coding {
    match coding {
        config::Coding::Brotli => Coding::Brotli,
        config::Coding::Zstd => Coding::Zstd,
        config::Coding::Gzip => Coding::Gzip,
    }
}
