#include "services/config/transport/device_session.h"

#include <algorithm>

#include "common/seal/secret_key.h"

namespace yagura::config {

DeviceTarget::~DeviceTarget() {
  seal::Wipe(password);
  seal::Wipe(private_key);
}

Patience Patience::AtMost(std::chrono::milliseconds limit) const {
  return {std::min(deadline, std::chrono::steady_clock::now() + limit), stop};
}

std::chrono::milliseconds Patience::Left() const {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
      deadline - std::chrono::steady_clock::now());
  return std::max(left, std::chrono::milliseconds(0));
}

}  // namespace yagura::config
