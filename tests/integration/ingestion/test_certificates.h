#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>

namespace yagura::ingestion {

// What a certificate of a test says of itself.
struct TestSubject {
  std::string common_name;
  std::string alternatives;  // "DNS:fw1.example.com,IP:192.0.2.1"; empty: none
  bool authority = false;
  std::chrono::seconds valid_for = std::chrono::hours(1);  // from a day ago; negative: ended
};

// A certificate and its key, as PEM files "<name>.crt" and "<name>.key" of a folder.
class TestCertificate {
 public:
  // Signed by `issuer`, or by itself where there is none.
  TestCertificate(const std::filesystem::path& folder, const std::string& name,
                  const TestSubject& subject, const TestCertificate* issuer = nullptr);
  ~TestCertificate();
  std::string certificate() const { return path_ + ".crt"; }
  std::string key() const { return path_ + ".key"; }
  // "sha256:..." of it.
  std::string Digest() const;

 private:
  struct Parts;
  std::string path_;
  std::unique_ptr<Parts> parts_;
};

}  // namespace yagura::ingestion
