#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "services/config/drivers/driver.h"

namespace yagura::config {

// "linux.nftables": a Linux machine whose whole rule set is ours. The account needs the right to
// use nft (root, or CAP_NET_ADMIN and a writable /run/yagura). A candidate is a full rule set; it
// replaces what runs in one transaction. Jobs live in /run/yagura/<job>: after a restart of the
// machine there are none, and it runs what its boot file says.
//
// Sets whose elements come and go by themselves (timeouts, updates from packets) make the running
// configuration differ from its snapshot all the time: such a device refuses changes as drifted.
std::unique_ptr<Driver> NewLinuxNftablesDriver();

// The file that is loaded for a candidate: one transaction that starts from nothing.
std::string NftLoadFile(std::string_view candidate);

}  // namespace yagura::config
