#include "common/rpc/run_service.h"
#include "services/config/app.h"

int main(int argc, char** argv) {
  return yagura::rpc::RunService(argc, argv, "config", yagura::config::ReadSettings,
                                 yagura::config::NewApp);
}
