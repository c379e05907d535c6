#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "common/clock/clock.h"
#include "common/store/store.h"
#include "yagura/config/internal/v1/sealed.pb.h"
#include "yagura/config/v1/change.pb.h"
#include "yagura/config/v1/credential.pb.h"
#include "yagura/config/v1/device.pb.h"
#include "yagura/config/v1/snapshot.pb.h"

namespace yagura::config {

// Everything that this service keeps in the state Redis. Thread-safe.
struct Stores {
  Stores(const std::shared_ptr<redis::Pool>& state, const std::shared_ptr<const Clock>& clock);

  store::Store<v1::Device> devices;
  store::Store<v1::Credential> credentials;
  store::Store<v1::Snapshot> snapshots;
  store::Store<v1::Change> changes;
  // Sealed things, under the names of what they belong to; a candidate also under its digest, so
  // that none ever replaces another. They are in no feed.
  store::Store<internal::v1::SealedSecret> secrets;
  store::Store<internal::v1::SealedText> snapshot_texts;
  store::Store<internal::v1::SealedText> candidates;
  store::Store<internal::v1::DataKey> data_keys;
};

// The id behind "tenants/" of a name that was checked before.
std::string TenantIdOf(std::string_view name);

// For what the service does by itself.
store::WriteContext ServiceContext(std::string_view method, std::string_view detail = {});

}  // namespace yagura::config
