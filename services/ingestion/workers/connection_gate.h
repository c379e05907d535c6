#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "common/text/text.h"
#include "services/ingestion/workers/descriptor_budget.h"
#include "services/ingestion/workers/listener.h"
#include "services/ingestion/workers/socket.h"

namespace yagura::ingestion {

// Accepts connections for somebody who closes them without telling (gRPC): as many as the budget of
// descriptors has room for, of one address (of IPv6: one /64) no more than told, and where the
// kernel has nothing for another one it waits, while gRPC itself would stop listening for good.
class ConnectionGate {
 public:
  // Takes the descriptor as its own.
  using Admit = std::function<void(int fd)>;
  // `listening`: as Bind makes it. `name`: of the input. Accepts from here on.
  ConnectionGate(std::string name, Socket listening, const ListenerParts& parts,
                 size_t most_per_address, Admit admit);
  ~ConnectionGate();  // stops

  const std::string& address() const { return address_; }

 private:
  struct Open {
    int fd = -1;
    uint64_t inode = 0;  // tells whether the number is still that socket
    DescriptorBudget::Lease descriptor;
  };
  struct Network {
    std::vector<Open> open;  // at least one
    size_t next = 0;         // to be looked at
  };
  using Networks = std::map<std::string, Network>;
  void Run(const std::stop_token& stop);
  // False: nothing to accept, or nothing to accept it with.
  bool Accept();
  // Whether there is room for one more of that network, and a descriptor for it.
  bool HasRoom(const std::string& network, DescriptorBudget::Lease* descriptor);
  // Takes note of those that were closed, round and round and never of all at once: a connection
  // that comes costs a bounded look, however many there are. Of one network: whether it has fewer
  // now. Looks at `most` at most and takes that off.
  bool Sweep(Networks::iterator network, size_t& most);
  void Sweep(size_t most);

  const std::string name_;
  const Socket listening_;
  const std::string address_;
  const ListenerParts parts_;
  const size_t most_per_address_;
  const Admit admit_;
  const Socket wake_;
  Networks open_;
  std::string swept_last_;  // of these
  SteadyTime next_sweep_{};
  bool paused_ = false;
  bool told_ = false;
  std::jthread thread_;
};

}  // namespace yagura::ingestion
