#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace yagura::testing {

class Process;

// A real SMTP server (aiosmtpd, in a child process) on a free loopback port, stopped and removed
// with the object. Aborts the test program where it does not start.
class SmtpServer {
 public:
  enum class Tls { kNone, kStartTls, kImplicit };
  struct Options {
    Tls tls = Tls::kNone;  // with a certificate of its own for "localhost", see ca_file()
    std::string user;      // empty: no AUTH asked for
    std::string password;
  };
  SmtpServer() : SmtpServer(Options{}) {}
  explicit SmtpServer(const Options& options);
  ~SmtpServer();
  SmtpServer(const SmtpServer&) = delete;
  SmtpServer& operator=(const SmtpServer&) = delete;

  int port() const { return port_; }
  // What the server's certificate is checked with.
  std::filesystem::path ca_file() const { return folder_ / "certificate.pem"; }

  struct Received {
    std::string message;   // with its headers, as received
    std::string envelope;  // JSON: from, to, tls, authenticated
    // Value of the first header of that name, unfolded; empty where there is none.
    std::string Header(std::string_view name) const;
  };
  // What it has kept so far, in order.
  std::vector<Received> Mails() const;
  // Tells it what to do with the next messages, one line each: "accept", "reject 451 later",
  // "hang", "keep-hang", "keep-drop", "keep-kill PID" (see smtp_server.py).
  void Script(const std::vector<std::string>& lines) const;
  // Refuses these recipients with 550.
  void RefuseRecipients(const std::vector<std::string>& addresses) const;

  void Stop();     // gone until Restart; what it has kept stays
  void Restart();  // on another port

 private:
  void Launch();
  const Options options_;
  const std::filesystem::path folder_;
  std::unique_ptr<Process> process_;
  int port_ = 0;
};

}  // namespace yagura::testing
