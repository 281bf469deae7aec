//! Seeing the banner: a snapshot, hit tests on whatever could be clicked, and detection.

use super::tour::Tour;
use std::hash::{DefaultHasher, Hash, Hasher};
use vigie_banner::{Control, Detection, Surface, Switch};
use vigie_browser::{BrowserError, snapshot::Seen};

/// What is on the screen at one moment.
pub(crate) struct Look {
    pub seen: Seen,
    pub detection: Detection,
    /// A page of its own with consent settings; a surface may be open above it.
    pub settings_page: Option<Surface>,
    /// Controls of the page itself that may bring the banner back, likeliest first.
    pub ways_back: Vec<Control>,
}

impl Look {
    /// Returns the surface in front, or else the settings page.
    pub(crate) fn surface(&self) -> Option<&Surface> {
        self.detection.surfaces.first().or(self.settings_page.as_ref())
    }

    /// Returns all surfaces that are open, the front one first.
    pub(crate) fn surfaces(&self) -> impl Iterator<Item = &Surface> {
        self.detection.surfaces.iter().chain(&self.settings_page)
    }

    /// Returns whether a consent surface is open that asks for something: a settings page does not count.
    pub(crate) fn is_asking(&self) -> bool {
        !self.detection.surfaces.is_empty()
    }

    /// Returns a fingerprint of the banner's state: the same words, controls and switches give the same. Where no
    /// surface is open, it is that of the page's ways to one.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        if self.surface().is_none() {
            let way = |control: &Control| (&control.label, &control.href).hash(&mut hasher);
            self.ways_back.iter().for_each(way);
        }
        for surface in self.surfaces() {
            surface.controls.iter().for_each(|control| (&control.label, control.role).hash(&mut hasher));
            for switch in &surface.switches {
                (&switch.label, switch.on).hash(&mut hasher);
            }
            surface.text.hash(&mut hasher);
        }
        hasher.finish()
    }
}

/// Returns whether a switch stands for something that needs consent and can be changed or is on.
pub(crate) fn counts(switch: &Switch) -> bool {
    !switch.exempt
}

/// Returns whether two controls are the same one, seen twice.
pub(crate) fn same_control(a: &Control, b: &Control) -> bool {
    a.label == b.label && a.role == b.role && a.icon_only == b.icon_only
}

impl Tour {
    /// Looks at the page as it is now.
    pub(crate) async fn look(&self) -> Result<Look, BrowserError> {
        let mut seen = self.visit.snapshot().await?;
        let lexicon = self.context.lexicon;
        let points = vigie_banner::probe_points(&seen.page, lexicon);
        self.visit.hit_test(&mut seen, &points).await?;
        let detection = vigie_banner::detect(&seen.page, lexicon);
        let settings_page = vigie_banner::preference_page(&seen.page, lexicon);
        let ways_back = vigie_banner::reopeners(&seen.page, lexicon, &detection.surfaces);
        let look = Look { seen, detection, settings_page, ways_back };
        if look.surface().is_some() {
            let mut states = self.context.states.lock().expect("no code panics while it holds this lock");
            states.insert(look.fingerprint());
        }
        Ok(look)
    }
}
