#include "services/config/storage/redis_data_keys.h"

#include <algorithm>

#include "fmt/format.h"

#include "common/redis/pool.h"
#include "common/status/status.h"
#include "common/store/resource_name.h"
#include "common/text/text.h"
#include "services/config/storage/stores.h"

namespace yagura::config {
namespace {

using internal::v1::DataKey;

class RedisDataKeys final : public seal::DataKeyStore {
 public:
  RedisDataKeys(std::shared_ptr<Stores> stores, std::shared_ptr<redis::Pool> state)
      : stores_(std::move(stores)), state_(std::move(state)) {}

  StatusOr<std::string> Get(const seal::DataKeyId& id) const override {
    YAGURA_ASSIGN_OR_RETURN(DataKey key, stores_->data_keys.Get(NameOf(id)));
    return std::move(*key.mutable_wrapped());
  }

  Status Create(const seal::DataKeyId& id, std::string_view wrapped) override {
    DataKey key;
    key.set_name(NameOf(id));
    key.set_wrapped(std::string(wrapped));
    return stores_->data_keys.Create(ServiceContext("CreateDataKey"), std::move(key)).status();
  }

  Status Replace(const seal::DataKeyId& id, std::string_view wrapped) override {
    return stores_->data_keys
        .Mutate(ServiceContext("WrapDataKey"), NameOf(id),
                [&](DataKey& key) {
                  key.set_wrapped(std::string(wrapped));
                  return absl::OkStatus();
                })
        .status();
  }

  StatusOr<std::vector<uint32_t>> List(std::string_view tenant) const override {
    std::vector<uint32_t> versions;
    YAGURA_RETURN_IF_ERROR(
        stores_->data_keys.raw()->ForEach(tenant, [&](const google::protobuf::Message& message) {
          const auto& key = static_cast<const DataKey&>(message);
          if (const auto version = ParseNumber<uint32_t>(store::LastId(key.name()))) {
            versions.push_back(*version);
          }
          return absl::OkStatus();
        }));
    std::sort(versions.begin(), versions.end());
    return versions;
  }

  StatusOr<std::vector<std::string>> Tenants() const override {
    return store::ListTenants(*state_);
  }

  Status Erase(std::string_view tenant) override {
    YAGURA_ASSIGN_OR_RETURN(const std::vector<uint32_t> versions, List(tenant));
    for (const uint32_t version : versions) {
      const Status status = stores_->data_keys.Delete(ServiceContext("EraseDataKeys"),
                                                      NameOf({std::string(tenant), version}));
      if (!status.ok() && !absl::IsNotFound(status)) return status;
    }
    return absl::OkStatus();
  }

 private:
  static std::string NameOf(const seal::DataKeyId& id) {
    return fmt::format("tenants/{}/data-keys/{}", id.tenant, id.version);
  }

  const std::shared_ptr<Stores> stores_;
  const std::shared_ptr<redis::Pool> state_;
};

}  // namespace

std::shared_ptr<seal::DataKeyStore> NewRedisDataKeys(std::shared_ptr<Stores> stores,
                                                     std::shared_ptr<redis::Pool> state) {
  return std::make_shared<RedisDataKeys>(std::move(stores), std::move(state));
}

}  // namespace yagura::config
