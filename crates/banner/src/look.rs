//! How a control is drawn, measured so that accept and refuse can be compared.

use crate::{
    model::{Look, Shape},
    view::View,
};
use vigie_domain::{
    NodeId,
    page::{NodeKind, Rgba, Style},
};

/// Contrast from which a box of another colour is seen as a box. Ours.
const BOX_CONTRAST: f32 = 1.12;
/// Contrast from which a border is seen. Ours.
const BORDER_CONTRAST: f32 = 1.1;
/// How much of the control a child must cover to be what paints it.
const COVERING: f32 = 0.6;

/// Returns how a control is drawn.
pub(crate) fn look_of(view: &View, id: NodeId) -> Look {
    let painter = painter_of(view, id);
    let lettering = lettering_of(view, id);
    let behind = behind(view, painter);
    let style = view.style(painter);
    let own = style.map_or(Rgba::TRANSPARENT, |style| style.background);
    let has_picture = style.is_some_and(|style| style.background_image);
    let fill = own.over(behind);
    let fill_contrast = fill.contrast(behind);
    let is_filled = has_picture || (own.alpha > 0.1 && fill_contrast >= BOX_CONTRAST);
    let is_outlined = style.is_some_and(|style| {
        style.border_px >= 1.0
            && style.border_color.alpha > 0.2
            && style.border_color.over(behind).contrast(behind) >= BORDER_CONTRAST
    });
    let shape = match (is_filled, is_outlined) {
        (true, _) => Shape::Filled,
        (false, true) => Shape::Outlined,
        (false, false) => Shape::Plain,
    };
    let ground = if is_filled { fill } else { behind };
    let letters = view.style(lettering).or(style);
    let color = letters.map_or(Rgba { rgb: [0; 3], alpha: 1.0 }, |style| style.color);
    // Opacity thins the letters out like a colour of less alpha.
    let faint = Rgba { alpha: (color.alpha * view.opacity(lettering)).clamp(0.0, 1.0), ..color };
    let text = faint.over(ground);
    Look {
        shape,
        fill: ground,
        text,
        text_contrast: text.contrast(ground),
        fill_contrast: if is_filled { fill_contrast } else { 1.0 },
        font_px: letters.map_or(0.0, |style| style.font_px),
        font_weight: letters.map_or(400, |style| style.font_weight),
        underlined: letters.is_some_and(|style| style.underlined) || style.is_some_and(|style| style.underlined),
        area: view.rect(painter).area(),
    }
}

fn paints(style: &Style) -> bool {
    style.background.alpha > 0.1 || style.background_image || (style.border_px >= 1.0 && style.border_color.alpha > 0.2)
}

/// Returns the element that draws the control's box: itself, or the child that covers most of it.
fn painter_of(view: &View, id: NodeId) -> NodeId {
    if view.style(id).is_some_and(paints) {
        return id;
    }
    let whole = view.rect(id);
    let covers = |child: NodeId| {
        let rect = view.rect(child);
        rect.w > whole.w * COVERING && rect.h > whole.h * COVERING
    };
    view.subtree(id)
        .skip(1)
        .take(40)
        .find(|&child| {
            view.node(child).kind != NodeKind::Text
                && view.is_shown(child)
                && covers(child)
                && view.style(child).is_some_and(paints)
        })
        .unwrap_or(id)
}

/// Returns the element whose text is read.
fn lettering_of(view: &View, id: NodeId) -> NodeId {
    view.subtree(id)
        .take(60)
        .find(|&child| {
            let node = view.node(child);
            node.kind == NodeKind::Text && view.is_shown(child) && node.text.chars().any(|c| !c.is_whitespace())
        })
        .and_then(|text| view.parent(text))
        .filter(|&up| view.is_within(up, id))
        .unwrap_or(id)
}

/// Returns the colour behind an element, from its ancestors' backgrounds; white where none is opaque.
pub(crate) fn behind(view: &View, id: NodeId) -> Rgba {
    let mut layers = Vec::new();
    let mut ground = Rgba::WHITE;
    for up in view.ancestors(id) {
        let Some(style) = view.style(up).filter(|_| view.node(up).kind != NodeKind::Text) else { continue };
        if style.background.alpha > 0.0 {
            layers.push(style.background);
            if style.background.alpha >= 0.99 {
                break;
            }
        }
    }
    for layer in layers.into_iter().rev() {
        ground = layer.over(ground);
    }
    ground
}
