//! Which interfaces have an XDP program, whoever put it there.

use std::collections::BTreeMap;

use futures::TryStreamExt;
use rtnetlink::packet_route::link::{LinkAttribute, LinkXdp};

use super::{Error, Netlink};

impl Netlink {
    /// The kernel's number of the program on each interface that has one, by the interface's name.
    pub async fn xdp_programs(&self) -> Result<BTreeMap<String, u32>, Error> {
        let mut programs = BTreeMap::new();
        let mut links = Box::pin(self.handle.link().get().execute());
        while let Some(link) = links.try_next().await.map_err(Error::read("the links"))? {
            let (mut name, mut program) = (None, None);
            for attribute in link.attributes {
                match attribute {
                    LinkAttribute::IfName(given) => name = Some(given),
                    LinkAttribute::Xdp(xdp) => {
                        program = xdp.iter().find_map(|one| match one {
                            LinkXdp::ProgId(id) => Some(*id),
                            _ => None,
                        });
                    }
                    _ => {}
                }
            }
            programs.extend(name.zip(program));
        }
        Ok(programs)
    }
}
