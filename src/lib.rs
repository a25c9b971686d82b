//! Berth: Docker volumes on storage you own.

pub mod catalog;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod database;
pub mod docker;
pub mod engine;
pub mod http;
pub mod journal;
pub mod policy;
pub mod pools;
mod repositories;
pub mod view;
