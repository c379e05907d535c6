#pragma once

#include <memory>

#include "common/seal/keyring.h"

namespace yagura::redis {
class Pool;
}

namespace yagura::config {

struct Stores;

// Wrapped data keys beside the state that they protect, so that every process of a cluster that
// has the key-encryption key can open it.
std::shared_ptr<seal::DataKeyStore> NewRedisDataKeys(std::shared_ptr<Stores> stores,
                                                     std::shared_ptr<redis::Pool> state);

}  // namespace yagura::config
