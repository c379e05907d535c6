#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/testing/process.h"

namespace yagura::testing {

// A real firewall for tests: a network namespace with nftables behind a real sshd, reached over a
// veth pair from here. It has /run and /tmp of its own, and its processes die with the object.
// Needs root. Make it on a thread that lives as long as the object does. Not thread-safe, but many
// devices may be used side by side.
class NftDevice {
 public:
  // Why no device can be made here ("needs root"); empty where one can. For GTEST_SKIP().
  static std::string WhyUnavailable();

  // A device that is up and lets everything in. Aborts the test program where that fails.
  NftDevice();
  ~NftDevice();
  NftDevice(const NftDevice&) = delete;
  NftDevice& operator=(const NftDevice&) = delete;

  // Where its sshd listens.
  const std::string& address() const { return device_address_; }
  int port() const { return 22; }
  // Our own address on the link, as the device sees us.
  const std::string& peer_address() const { return host_address_; }
  // "SHA256:..." of its Ed25519 host key.
  const std::string& host_key_fingerprint() const { return host_key_fingerprint_; }
  // The user "root" may log in with either.
  const std::string& private_key() const { return private_key_; }
  const std::string& password() const { return password_; }

  // Past SSH and past the firewall, as from the console: loads a rule set (one transaction), and
  // lists what runs (`nft -s list ruleset`). Abort where nft fails.
  void Load(std::string_view ruleset);
  std::string Ruleset() const;
  // Runs a program on the device, from the console; its output. Aborts where it fails.
  std::string Console(const std::vector<std::string>& args) const;

  // Power off and on: the rule set, /run and every process are gone; keys and addresses stay.
  void Reboot();
  // Takes the link down or up again.
  void SetLink(bool up);

 private:
  void MakeNetwork();
  void MakeKeys();
  void WriteSshdConfig();
  void Boot();

  std::filesystem::path folder_;
  std::string name_;
  std::string host_link_;
  std::string host_address_;
  std::string device_address_;
  std::string host_key_fingerprint_;
  std::string private_key_;
  std::string password_;
  std::unique_ptr<Process> sshd_;
};

}  // namespace yagura::testing
