//! A copy of the public files in a store elsewhere: tiles first, the checkpoint last.
//!
//! Out of scope: when it is made (`publish`). Nothing waits for it, and the log does not stop when it fails.
//!
//! The surprise: what is there already is told by the checkpoint there, so that another machine can go on.

use crate::{log::Published, publish::FolderSource};
use object_store::{
    Attribute, Attributes, ObjectStore, ObjectStoreExt as _, PutOptions, PutPayload, path::Path as StorePath,
};
use std::sync::Arc;
use vigie_ledger::{
    Checkpoint, Note,
    reader::Source as _,
    tile::{Resource, TILE_WIDTH, TileId},
};

/// The copy of a log.
#[derive(Debug)]
pub(crate) struct Remote {
    store: Arc<dyn ObjectStore>,
    prefix: String,
    runtime: tokio::runtime::Runtime,
    /// Entries that the checkpoint there covers; `None` before it was asked.
    size: Option<u64>,
}

impl Remote {
    pub(crate) fn new(store: Arc<dyn ObjectStore>, prefix: String) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { store, prefix, runtime, size: None })
    }

    pub(crate) fn is_behind(&self, published: &Published) -> bool {
        !published.checkpoint.is_empty() && self.size.is_none_or(|size| size < published.size)
    }

    /// Brings the copy to the published size.
    pub(crate) fn copy(&mut self, source: &FolderSource, published: &Published) -> Result<(), String> {
        if !self.is_behind(published) {
            return Ok(());
        }
        let from = match self.size {
            Some(size) => size,
            None => self.runtime.block_on(size_there(&*self.store, &self.place(Resource::Checkpoint)))?,
        };
        if from > published.size {
            return Err(format!("the copy has {from} entries, more than the {} of the log", published.size));
        }
        for resource in new_files(from, published.size) {
            let bytes = source.fetch(resource).map_err(|error| format!("`{resource}` could not be read: {error}"))?;
            let bytes = bytes.ok_or_else(|| format!("`{resource}` is missing"))?;
            self.put(resource, bytes)?;
        }
        self.put(Resource::Checkpoint, published.checkpoint.to_vec())?;
        self.size = Some(published.size);
        Ok(())
    }

    fn place(&self, resource: Resource) -> StorePath {
        StorePath::from(format!("{}/{resource}", self.prefix))
    }

    fn put(&self, resource: Resource, bytes: Vec<u8>) -> Result<(), String> {
        let place = self.place(resource);
        let (kind, cache) = headers(resource);
        let attributes = Attributes::from_iter([(Attribute::ContentType, kind), (Attribute::CacheControl, cache)]);
        let options = PutOptions { attributes, ..PutOptions::default() };
        let put = self.runtime.block_on(self.store.put_opts(&place, PutPayload::from(bytes.clone()), options));
        match put {
            // A folder keeps no attributes.
            Err(object_store::Error::NotImplemented { .. } | object_store::Error::NotSupported { .. }) => {
                self.runtime.block_on(self.store.put(&place, bytes.into())).map(|_| ())
            }
            other => other.map(|_| ()),
        }
        .map_err(|error| format!("`{place}` could not be copied: {error}"))
    }
}

async fn size_there(store: &dyn ObjectStore, place: &StorePath) -> Result<u64, String> {
    let failed = |error: object_store::Error| format!("`{place}` could not be read: {error}");
    let bytes = match store.get(place).await {
        Err(object_store::Error::NotFound { .. }) => return Ok(0),
        got => got.map_err(failed)?.bytes().await.map_err(failed)?,
    };
    let head = Note::parse(&bytes).ok().and_then(|note| Checkpoint::parse(note.text()).ok());
    head.map(|head| head.size()).ok_or_else(|| format!("`{place}` is there and is no checkpoint"))
}

/// Returns the type and the caching of a file, as C2SP tlog-tiles has them.
pub(crate) const fn headers(resource: Resource) -> (&'static str, &'static str) {
    match resource {
        Resource::Checkpoint => ("text/plain; charset=utf-8", "public, max-age=1"),
        Resource::Tile(_) | Resource::Entries(_) => ("application/octet-stream", "public, max-age=31536000, immutable"),
    }
}

/// Lists the tiles and bundles that a log of `to` entries has and one of `from` had not.
pub(crate) fn new_files(from: u64, to: u64) -> Vec<Resource> {
    let mut files = Vec::new();
    for level in 0..8_u32 {
        let (before, now) = (from >> (8 * level), to >> (8 * level));
        let first = before / TILE_WIDTH;
        let last = now.div_ceil(TILE_WIDTH);
        for tile in first..last {
            let Some(id) = TileId::containing(level as u8, tile * TILE_WIDTH, to) else { continue };
            // Not the one that was as wide before.
            if from > 0 && TileId::containing(level as u8, tile * TILE_WIDTH, from) == Some(id) {
                continue;
            }
            files.push(Resource::Tile(id));
            files.extend((level == 0).then_some(Resource::Entries(id)));
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_is_listed_once_and_nothing_else() {
        let all = |to| new_files(0, to).into_iter().collect::<std::collections::HashSet<_>>();
        assert_eq!(new_files(70_000, 70_000), []);
        assert_eq!(all(70_000).len(), 274 * 2 + 2 + 1);
        for (from, to) in [(0, 1), (1, 255), (255, 256), (256, 257), (300, 65_536), (65_536, 70_000)] {
            let new: std::collections::HashSet<_> = new_files(from, to).into_iter().collect();
            assert_eq!(new, all(to).difference(&all(from)).copied().collect(), "{from} to {to}");
        }
    }
}
