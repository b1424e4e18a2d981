//! A pull: what a reference means, its small parts, then all layers at once, and the rootfs image as they come.

use super::client::Client;
use super::feed::{Feed, Follower};
use super::settings::Registries;
use super::signature::{self, VerifyPolicy};
use super::stop::Stop;
use super::transfer::{Watch, fetch};
use super::{Descriptor, Digest, ImageError, ImageRef, Keychain, Result};
use crate::manifest::{Index, MAX_CONFIG, Manifest, NodeKind, Platform};
use crate::rootfs::{Layer, RootfsCache};
use crate::store::{MAX_NESTING, check};
use crate::{Image, ImageConfig, ImageStore};
use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Layers that come at a time.
const LAYERS: usize = 3;
/// How often a pull begins again after it found damage in what the store had.
const REPAIRS: u32 = 3;

/// What happens during a pull. Events of several blobs come between each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullEvent {
    /// The registry said what the reference means.
    Resolved {
        /// The digest of the index or manifest.
        digest: Digest,
    },
    /// The store has this layer already.
    Present {
        /// The layer.
        digest: Digest,
    },
    /// A blob begins to come.
    Started {
        /// The blob.
        digest: Digest,
        /// Its size in bytes.
        size: u64,
    },
    /// More of a blob came, here or in another process that wants it too.
    Received {
        /// The blob.
        digest: Digest,
        /// Bytes that came so far.
        bytes: u64,
    },
    /// All of a blob is in the store.
    Finished {
        /// The blob.
        digest: Digest,
    },
}

/// What to pull, and how.
pub struct Pull<'a> {
    /// The image.
    pub reference: &'a ImageRef,
    /// The platform that it is to be for.
    pub platform: Platform,
    /// What is known of registries.
    pub registries: &'a Registries,
    /// Who we are there.
    pub keychain: &'a Keychain,
    /// Which signatures are asked for.
    pub verify: &'a [VerifyPolicy],
    /// Where to build the rootfs image, if it is wanted.
    pub rootfs: Option<&'a RootfsCache>,
    /// Told how many bytes are about to come, before they do; may make room, or refuse.
    pub make_room: &'a dyn Fn(u64) -> Result<()>,
    /// Hears what happens, from any thread.
    pub progress: &'a (dyn Fn(PullEvent) + Sync),
}

/// An image's small parts, verified, in memory.
struct Plan {
    top: Descriptor,
    /// Index, manifest, configuration, from the top down.
    parts: Vec<(Descriptor, Vec<u8>)>,
    manifest: Manifest,
    config: ImageConfig,
}

impl ImageStore {
    /// Pulls an image; it gets its name when all of it is in the store.
    ///
    /// Layers that came before a failure stay, as far as they came, so that the next try continues. A layer that
    /// another process is pulling is waited for. Where `pull.rootfs` is given, the rootfs image is built while the
    /// layers come.
    pub fn pull(&self, pull: &Pull<'_>) -> Result<Image> {
        let endpoints = pull.registries.endpoints(pull.reference)?;
        let mut failure = None;
        for endpoint in endpoints {
            let credentials = pull.keychain.get(&endpoint.host)?;
            let client = Client::new(endpoint, credentials);
            match self.pull_from(&client, pull) {
                // A mirror that cannot give it is no reason to fail; one that lies, or no room, is.
                Err(
                    error @ (ImageError::Unreachable { .. }
                    | ImageError::Refused { .. }
                    | ImageError::NotFound { .. }),
                ) => failure = Some(error),
                other => return other,
            }
        }
        // The registry itself comes last, and is what the user knows.
        Err(failure
            .unwrap_or(ImageError::NotFound { name: pull.reference.to_string(), meant: String::new() }))
    }

    fn pull_from(&self, client: &Client, pull: &Pull<'_>) -> Result<Image> {
        let plan = plan(client, pull)?;
        (pull.progress)(PullEvent::Resolved { digest: plan.top.digest });
        signature::check(client, pull.reference, &plan.top, pull.verify)?;
        let blobs = plan.parts.iter().map(|(blob, _)| blob).chain(&plan.manifest.layers);
        let coming: HashMap<Digest, u64> =
            blobs.filter(|blob| !self.has_blob(blob)).map(|blob| (blob.digest, blob.size)).collect();
        if !coming.is_empty() {
            (pull.make_room)(coming.values().sum())?;
        }

        let lease = self.lease()?;
        for (blob, bytes) in &plan.parts {
            if !self.has_blob(blob) {
                self.write_blob(blob, &bytes[..])?;
            }
        }
        let mut repairs = 0;
        loop {
            let old: Vec<_> =
                plan.manifest.layers.iter().filter(|layer| self.has_blob(layer)).cloned().collect();
            match self.pull_layers(client, pull, &plan) {
                // Bytes that a disk lost are found when they are used, and come again.
                Err(ImageError::Corrupt { .. }) if repairs < REPAIRS && self.drop_damaged(&old)? => {
                    repairs += 1
                }
                other => break other?,
            }
        }
        let platform = (pull.platform != Platform::host()).then(|| pull.platform.clone());
        self.name_pulled(plan.top.clone(), pull.reference, platform.as_ref())?;
        self.touch(plan.top.digest)?;
        drop(lease);
        Ok(Image {
            reference: Some(pull.reference.clone()),
            digest: plan.top.digest,
            manifest: plan.manifest,
            config: plan.config,
        })
    }

    fn pull_layers(&self, client: &Client, pull: &Pull<'_>, plan: &Plan) -> Result<()> {
        let mut seen = HashSet::new();
        let unique: Vec<&Descriptor> =
            plan.manifest.layers.iter().filter(|layer| seen.insert(layer.digest)).collect();
        let feeds: HashMap<Digest, Arc<Feed>> =
            unique.iter().map(|layer| (layer.digest, Arc::new(Feed::default()))).collect();
        let job = Job {
            store: self,
            client,
            progress: pull.progress,
            stop: Stop::default(),
            failure: Mutex::new(None),
        };
        let next = AtomicUsize::new(0);
        let built = thread::scope(|scope| {
            for _ in 0..LAYERS.min(unique.len()) {
                scope.spawn(|| {
                    while let Some(layer) = unique.get(next.fetch_add(1, Ordering::Relaxed)) {
                        job.layer(layer, &feeds[&layer.digest]);
                    }
                });
            }
            let built = pull.rootfs.map_or(Ok(()), |rootfs| {
                let layers = self.layers_of(&plan.manifest, &plan.config);
                let open = |layer: &Layer| -> Result<Box<dyn Read + Send>> {
                    Ok(Box::new(Follower::new(Arc::clone(&feeds[&layer.descriptor.digest]))))
                };
                rootfs.ensure_from(plan.config.chain_id(), &layers, &open).map(drop)
            });
            match built {
                Ok(()) => Built::Done,
                // A layer that did not come is why there is no rootfs image, and not the other way round.
                Err(error) if job.stop.fail(&error) => Built::CutOff,
                Err(error) => Built::Failed(error),
            }
        });
        let failure = job.failure.into_inner().unwrap_or_else(PoisonError::into_inner);
        match (built, failure) {
            (Built::Failed(error), _) | (_, Some(error)) => Err(error),
            (Built::Done | Built::CutOff, None) => Ok(()),
        }
    }

    /// Removes those of `layers` whose bytes are not what they should be. Whether there were any.
    fn drop_damaged(&self, layers: &[Descriptor]) -> Result<bool> {
        let mut any = false;
        for layer in layers {
            if self.is_damaged(layer)? {
                self.remove_blob(layer.digest)?;
                any = true;
            }
        }
        Ok(any)
    }
}

/// What became of the rootfs image.
enum Built {
    Done,
    /// A layer failed, which says why.
    CutOff,
    Failed(ImageError),
}

/// The layers of one pull.
struct Job<'a> {
    store: &'a ImageStore,
    client: &'a Client,
    progress: &'a (dyn Fn(PullEvent) + Sync),
    stop: Stop,
    failure: Mutex<Option<ImageError>>,
}

impl Job<'_> {
    /// Brings one layer, or says why there is none.
    fn layer(&self, layer: &Descriptor, feed: &Feed) {
        let done = if self.stop.is_set() { Ok(()) } else { self.bring(layer, feed) };
        if let Err(error) = done {
            let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
            self.stop.fail(&error);
            failure.get_or_insert(error);
        }
        // Without effect on one that is complete; for the others somebody may be waiting.
        feed.fail();
    }

    fn bring(&self, layer: &Descriptor, feed: &Feed) -> Result<()> {
        let digest = layer.digest;
        if self.store.has_blob(layer) {
            (self.progress)(PullEvent::Present { digest });
            return feed.complete(&self.store.blob_path(digest));
        }
        (self.progress)(PullEvent::Started { digest, size: layer.size });
        let received = |bytes| (self.progress)(PullEvent::Received { digest, bytes });
        let mut again = true;
        loop {
            let waited = |bytes| {
                received(bytes);
                !self.stop.is_set()
            };
            let Some(partial) = self.store.claim(layer, waited)? else { break };
            let resumed = partial.written() > 0;
            feed.begin(partial.reader()?);
            // A beginning that somebody else left is not handed on before all of it proved right.
            let written = |bytes| {
                if !resumed {
                    feed.grow(bytes);
                }
            };
            let watch = Watch { received: &received, written: &written, stop: &self.stop };
            match fetch(self.client, partial, &watch) {
                // It may be that beginning that was wrong.
                Err(ImageError::Corrupt { .. }) if resumed && again => again = false,
                other => {
                    other?;
                    break;
                }
            }
        }
        (self.progress)(PullEvent::Finished { digest });
        feed.complete(&self.store.blob_path(digest))
    }
}

/// Finds out what the reference means on the wanted platform.
fn plan(client: &Client, pull: &Pull<'_>) -> Result<Plan> {
    let thing = format!("image {}", pull.reference);
    let (top, json) = client.manifest(pull.reference)?;
    let mut parts = Vec::new();
    let (mut node, mut json) = (top.clone(), json);
    for _ in 0..MAX_NESTING {
        if NodeKind::of(&node)? == NodeKind::Index {
            let index = Index::parse(&thing, &json)?;
            same_type(&thing, &node, index.media_type.as_deref())?;
            let child = index.choose(&thing, &pull.platform)?.clone();
            NodeKind::of(&child)?;
            let below = client.bytes(&child)?;
            parts.push((node, std::mem::replace(&mut json, below)));
            node = child;
            continue;
        }
        let manifest = Manifest::parse(&thing, &json)?;
        same_type(&thing, &node, manifest.media_type.as_deref())?;
        parts.push((node, json));
        if manifest.config.size > MAX_CONFIG {
            return Err(ImageError::too_large(format!("the configuration of {thing}"), MAX_CONFIG));
        }
        let bytes = client.bytes(&manifest.config)?;
        let config = ImageConfig::parse(&thing, &bytes)?;
        parts.push((manifest.config.clone(), bytes));
        // Before the layers, so that a wrong image costs no download.
        check(&thing, &pull.platform, &manifest, &config)?;
        return Ok(Plan { top, parts, manifest, config });
    }
    Err(ImageError::TooLarge { thing, limit: format!("{MAX_NESTING} nested indexes") })
}

/// Refuses JSON that says it is something else than what leads to it: others would read it as that.
fn same_type(thing: &str, node: &Descriptor, stated: Option<&str>) -> Result<()> {
    match stated {
        Some(stated) if stated != node.media_type => Err(ImageError::corrupt(
            thing,
            format!("it is {stated:?} inside and {:?} outside", node.media_type),
        )),
        _ => Ok(()),
    }
}
