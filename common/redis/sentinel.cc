#include "common/redis/sentinel.h"

#include <string_view>

#include "fmt/format.h"

#include "common/redis/connection.h"
#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::redis {

StatusOr<std::string> FindMaster(const Endpoint& endpoint) {
  const std::string_view address = std::string_view(endpoint.address).substr(9);
  const size_t at = address.find('@');
  if (at == std::string_view::npos || at == 0) {
    return InvalidField("redis.address", "wants sentinel:name@host:port,host:port");
  }
  const std::string_view name = address.substr(0, at);
  std::string last_error = "no Sentinel is named";
  for (const std::string_view host_port : Split(address.substr(at + 1), ',')) {
    auto sentinel = Connection::ConnectToSentinel(endpoint, Trim(host_port));
    if (!sentinel.ok()) {
      last_error = Message(sentinel.status());
      continue;
    }
    const auto master = sentinel->Command({"SENTINEL", "get-master-addr-by-name", name});
    if (master.ok() && master->items.size() == 2) {
      const std::string& host = master->items[0].text;
      const bool is_v6 = host.find(':') != std::string::npos;
      return fmt::format("tcp:{}{}{}:{}", is_v6 ? "[" : "", host, is_v6 ? "]" : "",
                         master->items[1].text);
    }
    last_error = master.ok() ? fmt::format("{} does not know it", Trim(host_port))
                             : std::string(Message(master.status()));
  }
  return Unavailable("REDIS_NO_MASTER",
                     fmt::format("redis: no master of '{}' found: {}", name, last_error));
}

}  // namespace yagura::redis
