//! Berth: Docker volumes on storage you own.

pub mod config;
pub mod engine;
pub mod view;
