//! Draws the window on the processor, the same on every machine.

use dream_soft_render::{ClipRect, Color, Mesh, SoftwareRenderer, TextureId, Vertex};
use eframe::egui::epaint::{ImageDelta, Primitive};
use eframe::egui::{self, Context, FullOutput, ImageData, TexturesDelta};
use egui_kittest::TestRenderer;
use image::RgbaImage;
use std::collections::HashMap;

/// A picture for each frame that is asked for.
#[derive(Default)]
pub struct Painter {
    renderer: SoftwareRenderer,
    textures: HashMap<egui::TextureId, TextureId>,
}

impl Painter {
    fn set(&mut self, id: egui::TextureId, delta: &ImageDelta) {
        let ImageData::Color(image) = &delta.image;
        let pixels: Vec<u8> = image.pixels.iter().flat_map(|pixel| pixel.to_array()).collect();
        let [width, height] = image.size;
        match (delta.pos, self.textures.get(&id)) {
            (Some([x, y]), Some(&texture)) => {
                self.renderer.update_texture(texture, x, y, width, height, &pixels).unwrap();
            }
            _ => {
                self.free(id);
                let texture = self.renderer.create_texture(width, height, &pixels).unwrap();
                self.textures.insert(id, texture);
            }
        }
    }

    fn free(&mut self, id: egui::TextureId) {
        if let Some(texture) = self.textures.remove(&id) {
            self.renderer.free_texture(texture).unwrap();
        }
    }
}

impl TestRenderer for Painter {
    fn handle_delta(&mut self, delta: &mut TexturesDelta) {
        for (id, images) in delta.set.drain() {
            images.iter().for_each(|image| self.set(id, image));
        }
        delta.free.drain().for_each(|id| self.free(id));
    }

    fn render(&mut self, ctx: &Context, output: &FullOutput) -> Result<RgbaImage, String> {
        let scale = ctx.pixels_per_point();
        let size = ctx.content_rect().size() * scale;
        let (width, height) = (size.x.round() as u32, size.y.round() as u32);
        let frame = self.renderer.begin_frame(width as usize, height as usize);
        let mut frame = frame.map_err(|error| error.to_string())?;
        frame.clear(Color::BLACK);
        for clipped in ctx.tessellate(output.shapes.clone(), scale) {
            let Primitive::Mesh(mesh) = &clipped.primitive else {
                return Err("what a graphics card alone draws".to_owned());
            };
            let vertex = |vertex: &egui::epaint::Vertex| {
                let [r, g, b, a] = vertex.color.to_array();
                let color = Color::from_rgba_premultiplied(r, g, b, a);
                let pos = vertex.pos * scale;
                Vertex::new([pos.x, pos.y], [vertex.uv.x, vertex.uv.y], color)
            };
            let vertices: Vec<Vertex> = mesh.vertices.iter().map(vertex).collect();
            let corner = |at: egui::Pos2| [at.x * scale, at.y * scale].map(|x| x.round() as u32);
            let ([min_x, min_y], [max_x, max_y]) =
                (corner(clipped.clip_rect.min), corner(clipped.clip_rect.max));
            let mesh = Mesh {
                vertices: &vertices,
                indices: &mesh.indices,
                texture: self.textures.get(&mesh.texture_id).copied(),
            };
            let clip = ClipRect::new(min_x, min_y, max_x, max_y);
            frame.mesh(mesh, clip).map_err(|error| error.to_string())?;
        }
        let pixels = frame.surface().pixels.clone();
        RgbaImage::from_raw(width, height, pixels).ok_or_else(|| "no picture".to_owned())
    }
}
