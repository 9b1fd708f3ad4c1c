//! Nothing: this library exists so that cargo rebuilds the embedded object when a dependency changes.
#![no_std]
